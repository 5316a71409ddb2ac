import math

import pytest
import torch
from torch.nn import functional

from soundstream.nn.layers.conv import GAIN, CausalConv, CausalUpsample, Elu
from tiny import noise


@pytest.mark.parametrize("dilation", [1, 3, 9])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_a_convolution_is_torchs_with_all_padding_on_the_left(kernel, dilation):
    layer, x = CausalConv(3, 5, kernel, dilation=dilation), noise(2, 3, 1, 40)
    left = (kernel - 1) * dilation
    expected = functional.conv1d(
        functional.pad(x.squeeze(2), (left, 0)), layer.weight.squeeze(2), layer.bias, dilation=dilation
    )
    torch.testing.assert_close(layer(x).squeeze(2), expected)


@pytest.mark.parametrize("stride", [1, 2, 5, 8])
def test_a_strided_convolution_ends_each_output_at_the_last_sample_of_its_frame(stride):
    layer, x = CausalConv(3, 5, 2 * stride, stride), noise(2, 3, 1, 10 * stride)
    expected = functional.conv1d(
        functional.pad(x.squeeze(2), (stride, 0)), layer.weight.squeeze(2), layer.bias, stride=stride
    )
    torch.testing.assert_close(layer(x).squeeze(2), expected)


@pytest.mark.parametrize("stride", [1, 2, 4, 5, 8])
def test_upsampling_is_torchs_transposed_convolution_without_its_tail(stride):
    layer, x = CausalUpsample(6, 3, stride), noise(2, 6, 1, 12)
    bias = noise(3, seed=1)
    layer.conv.bias.data = bias.repeat_interleave(stride)
    late, early = layer.conv.weight.detach().reshape(3, stride, 6, 2).permute(3, 2, 0, 1)
    reference = functional.conv_transpose1d(x.squeeze(2), torch.cat([early, late], dim=-1), bias, stride)
    torch.testing.assert_close(layer(x).squeeze(2), reference[..., : 12 * stride])


def test_elu_is_torchs():
    x = noise(2, 3, 1, 10, scale=3)
    torch.testing.assert_close(Elu()(x), torch.where(x > 0, x, x.exp() - 1))


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "left"), [(1, 1, 1, 0), (3, 1, 2, 4), (7, 1, 9, 54), (4, 2, 1, 2), (2, 1, 1, 1)]
)
def test_the_state_is_the_past_that_the_next_output_needs(kernel, stride, dilation, left):
    layer = CausalConv(3, 5, kernel, stride, dilation)
    assert layer.left_samples == left
    x = noise(2, 3, 1, 60)
    _, state = layer.step(x, layer.init_state(2))
    assert set(state) == ({"left"} if left else set())
    for value in state.values():
        assert torch.equal(value, x[..., -left:])


@pytest.mark.parametrize("make", [lambda: CausalConv(64, 256, 7), lambda: CausalUpsample(64, 64, 4)])
def test_a_fresh_layer_answers_elus_of_noise_with_about_unit_variance(make):
    torch.manual_seed(0)
    y = make()(functional.elu(noise(4, 64, 1, 200, scale=1)))
    assert 0.7 < y.std() < 1.3


def test_scale_multiplies_the_fresh_weight():
    torch.manual_seed(0)
    weight = CausalConv(64, 64, 7, scale=0.3).weight.detach()
    assert weight.std() == pytest.approx(0.3 * GAIN / math.sqrt(64 * 7), rel=0.02)
