"""Layers with zeros at both ends, in PyTorch and in ONNX Runtime, beside PyTorch's own convolutions."""

import itertools

import onnxruntime
import pytest
import torch
from torch.nn import functional

from onnx_layers import OnnxLayer
from soundstream.graph_names import PADDING
from soundstream.nn.graph import Graph
from soundstream.nn.layers.padded import PaddedConv, PaddedEnd, PaddedUpsample
from soundstream.nn.streaming import Chain
from tiny import noise

CHANNELS = 4
KERNELS = [(7, 1, 1, 1), (7, 1, 3, 1), (7, 1, 9, 1), (3, 1, 1, 1), (1, 1, 1, 1), (7, 1, 9, 4), (7, 1, 1, 2)]
STRIDED = [(2 * stride, stride, 1, 1) for stride in (2, 3, 4, 5, 8)]


@pytest.mark.parametrize(("kernel", "stride", "dilation", "groups"), [*KERNELS, *STRIDED])
@pytest.mark.parametrize("frames", [1, 2, 9])
@torch.no_grad()
def test_a_convolution_is_torchs_with_zeros_at_both_ends(kernel, stride, dilation, groups, frames):
    torch.manual_seed(0)
    conv = PaddedConv(CHANNELS, 8, kernel, stride, dilation, groups)
    conv.bias.normal_()
    x = noise(2, CHANNELS, 1, frames * stride, scale=1)
    padding = (kernel - 1) * dilation // 2 if stride == 1 else -(-stride // 2)
    expected = functional.conv1d(x[:, :, 0], conv.weight[:, :, 0], conv.bias, stride, padding, dilation, groups)
    for form in (conv, OnnxLayer(conv, CHANNELS)):
        y, state = form.step(x, form.init_state(2))
        assert not state and y.shape == (2, 8, 1, frames)
        torch.testing.assert_close(y[:, :, 0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("stride", "output_padding"), [(2, 0), (3, 0), (3, 1), (4, 0), (5, 0), (5, 1), (8, 0)])
@pytest.mark.parametrize("frames", [1, 2, 9])
@torch.no_grad()
def test_upsampling_is_torchs_transposed_convolution(stride, output_padding, frames):
    torch.manual_seed(0)
    layer, x = PaddedUpsample(CHANNELS, 3, stride, output_padding), noise(2, CHANNELS, 1, frames, scale=1)
    kernel, bias = torch.randn(CHANNELS, 3, 2 * stride), torch.randn(3)
    own, following = (half.permute(1, 2, 0).flatten(0, 1) for half in kernel.chunk(2, dim=2))
    layer.conv.weight.copy_(torch.stack([following, own], dim=-1)[:, :, None])
    layer.conv.bias.copy_(bias.repeat_interleave(stride))
    padding = -(-stride // 2)
    expected = functional.conv_transpose1d(x[:, :, 0], kernel, bias, stride, padding, output_padding)
    for form in (layer, OnnxLayer(layer, CHANNELS)):
        y, state = form.step(x, form.init_state(2))
        assert not state and y.shape[-1] == frames * stride - stride % 2 + output_padding
        torch.testing.assert_close(y[:, :, 0], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_with_zeros_for_the_padding_nothing_is_padded_or_trimmed():
    torch.manual_seed(0)
    conv, up = PaddedConv(CHANNELS, CHANNELS, 7, dilation=3), PaddedUpsample(CHANNELS, CHANNELS, 4)
    graph = Graph("layers", exact=True)
    graph.input("x", CHANNELS, "samples")
    graph.node("Identity", [Chain(conv=conv, up=up, end=PaddedEnd(3)).onnx(graph, "", "x")], "y")
    model = graph.finish("y", CHANNELS, "frames")
    paddings = [weight for weight in model.graph.initializer if weight.name.endswith(PADDING)]
    for padding in paddings:
        padding.raw_data = bytes(64)
    x = noise(1, CHANNELS, 1, 30, scale=1)
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x.numpy()})
    whole = up(functional.pad(conv.product(x), (1, 1)))  # more at the ends than is trimmed
    torch.testing.assert_close(torch.from_numpy(found), whole[..., 2:-2], rtol=0, atol=1e-5)
    assert found.shape[-1] == (30 - 18 + 1) * 4 and len(paddings) == 3


@pytest.mark.parametrize("samples", [0, 8])
def test_an_end_has_zeros_behind_the_last_sample(samples):
    layer, x = PaddedEnd(samples), noise(2, 3, 1, 5)
    for form in (layer, OnnxLayer(layer, 3)):
        y, _ = form.step(x, {})
        assert torch.equal(y[..., :5], x) and y.shape[-1] == 5 + samples and not y[..., 5:].any()


def test_ends_have_no_more_influence_than_kernels_reach():
    layer, x = PaddedConv(2, 2, 7, dilation=3), noise(1, 2, 1, 60, scale=1)
    whole = layer(x)
    for start, end in itertools.pairwise((0, 20, 40, 60)):
        first, last = max(0, start - 9), min(60, end + 9)
        part = layer(x[..., first:last])[..., start - first : end - first]
        torch.testing.assert_close(part, whole[..., start:end], rtol=0, atol=1e-6)
