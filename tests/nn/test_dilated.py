"""Residual units with Snakes: their formula, and how far networks of them see."""

import pytest
import torch
from torch.nn import functional

from onnx_layers import OnnxLayer
from soundstream.nn.layers.dilated import (
    KERNEL,
    ResidualUnit,
    Tanh,
    residual_units,
    seen_by_decoder,
    seen_by_encoder,
)
from soundstream.nn.layers.padded import PaddedConv, PaddedUpsample
from soundstream.nn.layers.snake import Snake
from soundstream.nn.streaming import Chain
from tiny import noise

STRIDES = [(2, 4), (3, 2), (5, 8), (2, 3, 4)]
FRAMES = 81


@pytest.mark.parametrize("groups", [1, 6])
@torch.no_grad()
def test_a_unit_is_its_formula(groups):
    torch.manual_seed(0)
    unit, x = ResidualUnit(6, dilation=3, groups=groups), noise(2, 6, 1, 50)
    for parameter in unit.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    wide, narrow = unit.branch.conv0, unit.branch.conv1
    first, second = (snake.alpha[:, None] for snake in (unit.branch.snake0, unit.branch.snake1))
    y = x.squeeze(2)
    y = y + (first * y).sin() ** 2 / first
    y = functional.conv1d(y, wide.weight.squeeze(2), wide.bias, padding=9, dilation=3, groups=groups)
    y = y + (second * y).sin() ** 2 / second
    expected = x + functional.conv1d(y, narrow.weight.squeeze(2), narrow.bias).unsqueeze(2)
    torch.testing.assert_close(unit(x), expected)
    found, _ = OnnxLayer(unit, 6).step(x, {})
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_tanh_in_a_graph_is_that_of_pytorch():
    x = noise(1, 3, 1, 20, scale=2.0)
    torch.testing.assert_close(OnnxLayer(Tanh(), 3).step(x, {})[0], Tanh()(x))


def toy_encoder(strides, kernel):
    blocks = {
        f"block{i}": Chain(**residual_units(2), down=PaddedConv(2, 2, 2 * stride, stride))
        for i, stride in enumerate(strides)
    }
    return Chain(first=PaddedConv(1, 2, KERNEL), **blocks, snake=Snake(2), last=PaddedConv(2, 1, kernel))


def toy_decoder(strides, kernel):
    blocks = {
        f"block{i}": Chain(up=PaddedUpsample(2, 2, stride, stride % 2), **residual_units(2))
        for i, stride in enumerate(reversed(strides))
    }
    return Chain(first=PaddedConv(1, 2, kernel), **blocks, snake=Snake(2), last=PaddedConv(2, 1, KERNEL))


@pytest.mark.parametrize("strides", STRIDES, ids=str)
@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_networks_see_as_far_as_is_said_and_no_further(strides, kernel, side):
    torch.manual_seed(0)
    hop, middle = torch.tensor(strides).prod().item(), FRAMES // 2
    if side == "encoder":
        x = noise(1, 1, 1, FRAMES * hop).requires_grad_()
        found, seen = toy_encoder(strides, kernel)(x)[..., middle], seen_by_encoder(strides, kernel // 2)
    else:
        x = noise(1, 1, 1, FRAMES).requires_grad_()
        y = toy_decoder(strides, kernel)(x)[..., middle * hop : (middle + 1) * hop]
        found, seen = y, seen_by_decoder(strides, kernel // 2)
    (slope,) = torch.autograd.grad(found.sum(), x)
    touched = slope.reshape(FRAMES, -1).abs().amax(1).nonzero().flatten()
    assert max(middle - touched.min(), touched.max() - middle) == seen < middle
