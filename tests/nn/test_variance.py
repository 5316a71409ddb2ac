"""Layers that keep the variance of a signal, in torch and in ONNX."""

import math

import pytest
import torch

from onnx_layers import OnnxLayer
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.variance import ADDED, FrameNorm, LearnedScale, Residual, Scale, after
from tiny import noise


def unit(channels, before):
    scale = LearnedScale(math.sqrt(ADDED))
    return Residual(before=after(before), conv=CausalConv(channels, channels, 1, scale=1 / 1.2), weight=scale)


@torch.no_grad()
def test_units_are_the_identity_and_then_add_a_third_of_the_variance_each():
    torch.manual_seed(0)
    x = noise(1, 128, 1, 200)
    y = x
    for before in range(6):
        layer = unit(128, before)
        assert torch.equal(layer(y), y)
        layer.get_submodule("weight").weight.fill_(1)
        y = layer(y)
        assert y.var().item() == pytest.approx(x.var().item() * (1 + (before + 1) / 3), rel=0.15)
    assert after(6)(y).var().item() == pytest.approx(x.var().item(), rel=0.15)


@torch.no_grad()
def test_frames_are_of_one_length_but_for_silence():
    x = noise(2, 9, 1, 5)
    x[0, :, :, 2] = 0
    y = FrameNorm(9)(x)
    length = y.norm(dim=1)
    assert length[0, 0, 2] == 0 and length.sum().item() == pytest.approx(9 * 3)
    torch.testing.assert_close(y[1, :, 0, 0], x[1, :, 0, 0] * (3 / x[1, :, 0, 0].norm()))


@pytest.mark.parametrize("layer", [Scale(0.3), LearnedScale(0.5), FrameNorm(4), unit(4, 2)])
@torch.no_grad()
def test_a_graph_computes_the_same(layer):
    x = noise(2, 4, 1, 7)
    x[0, :, :, 1] = 0
    for parameter in layer.parameters():
        parameter += 0.7
    torch.testing.assert_close(OnnxLayer(layer, 4).step(x, {})[0], layer(x), rtol=0, atol=1e-6)
