"""Layers of whole segments, in PyTorch and ONNX Runtime, beside PyTorch's own padding, convolutions and norm."""

import pytest
import torch
from torch.nn import functional

from onnx_layers import OnnxLayer
from soundstream.nn.layers.centred import CentredConv, CentredUpsample
from tiny import noise

KERNELS = [(7, 1), (3, 1), (1, 1), (4, 2), (8, 4), (10, 5), (16, 8)]
"""Kernel and stride."""
CHANNELS = 3


@torch.no_grad()
def random(layer):
    """With parameters that all do something."""
    for parameter in layer.parameters():
        parameter += 0.3 * torch.randn(parameter.shape)
    return layer.eval().requires_grad_(False)


@pytest.fixture(params=KERNELS, ids=str)
def conv(request):
    torch.manual_seed(0)
    return random(CentredConv(CHANNELS, CHANNELS, *request.param))


@pytest.fixture(params=[1, 2, 5, 8])
def upsample(request):
    torch.manual_seed(0)
    return random(CentredUpsample(CHANNELS, CHANNELS, request.param))


def forms(layer):
    return layer, OnnxLayer(layer, CHANNELS)


def normalized(layer, y):
    return functional.group_norm(y, 1, layer.norm.weight, layer.norm.bias, layer.norm.eps)


def padded(x, before, behind):
    """As EnCodec pads: reflected, with zeros behind a segment that is too short for it, which are cut off again."""
    missing = max(0, max(before, behind) + 1 - x.shape[-1])
    whole = functional.pad(functional.pad(x, (0, missing)), (before, behind), mode="reflect")
    return whole[..., : whole.shape[-1] - missing]


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 41])
def test_both_ends_of_a_segment_are_reflected_and_the_last_output_completed(conv, samples):
    kernel, stride = conv.weight.shape[-1], conv.stride
    behind = (kernel - stride) // 2
    x = noise(2, CHANNELS, 1, samples, scale=1)
    y = padded(x[:, :, 0], kernel - stride - behind, behind + -samples % stride)
    expected = normalized(conv, functional.conv1d(y, conv.weight[:, :, 0], conv.bias, stride))[:, :, None]
    for form in forms(conv):
        found, state = form.step(x, form.init_state(2))
        assert not state and found.shape[-1] == -(-samples // stride)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 2, 9])
def test_upsampling_normalizes_what_overhangs_too_and_then_trims_it(upsample, samples):
    stride, x = upsample.stride, noise(2, CHANNELS, 1, samples, scale=1)
    halves = upsample.conv.weight[:, :, 0].unflatten(0, (CHANNELS, stride))  # [out, phase, in, (following, own)]
    kernel = torch.cat([halves[..., 1], halves[..., 0]], dim=1).permute(2, 0, 1)
    bias = torch.randn(CHANNELS)
    upsample.conv.bias.copy_(bias.repeat_interleave(stride))
    whole = normalized(upsample, functional.conv_transpose1d(x[:, :, 0], kernel, bias, stride))
    expected = whole[..., stride - stride // 2 : whole.shape[-1] - stride // 2][:, :, None]
    for form in forms(upsample):
        found, _ = form.step(x, form.init_state(2))
        assert found.shape[-1] == samples * stride
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_second_is_normalized_as_exactly_as_float32_allows():
    torch.manual_seed(0)
    conv, x = random(CentredConv(32, 32, 1)), noise(1, 32, 1, 48_000, scale=1) + 0.5
    expected = conv.double()(x.double())
    found, _ = OnnxLayer(conv.float(), 32).step(x, {})
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)
