"""Attention inside of windows: its formula, that windows do not see each other, and the graph."""

import pytest
import torch
from torch import nn

from onnx_layers import OnnxLayer
from soundstream.nn.layers.attention import WindowAttention, rotary_turn, turned
from tiny import noise

CHANNELS, WINDOW = 128, 8


@pytest.fixture(scope="module")
def layer():
    torch.manual_seed(0)
    made = WindowAttention(CHANNELS, WINDOW)
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made.eval()


@torch.no_grad()
def test_a_layer_is_its_formula(layer):
    """One window, head by head: softmax of products of turned queries and keys."""
    x = noise(1, CHANNELS, 1, WINDOW, scale=1.0)
    q, k, v = (layer.norm(x[0, :, 0].T) @ layer.qkv.weight.T).chunk(3, dim=1)
    heads = []
    for h in range(CHANNELS // 64):
        query, key, value = (part[:, 64 * h : 64 * h + 64] for part in (q, k, v))
        score = torch.zeros(WINDOW, WINDOW)
        for i in range(WINDOW):
            for j in range(WINDOW):
                angle = (i - j) * 10_000.0 ** (-torch.arange(32) / 32)
                a, b = torch.complex(*query[i].chunk(2)), torch.complex(*key[j].chunk(2))
                score[i, j] = (a * torch.polar(torch.ones(32), angle) * b.conj()).real.sum() / 8
        heads.append(score.softmax(1) @ value)
    expected = x[0, :, 0] + (torch.cat(heads, dim=1) @ layer.out.weight.T).T
    torch.testing.assert_close(layer(x)[0, :, 0], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_window_sees_itself_alone_and_both_ways(layer):
    x = noise(1, CHANNELS, 1, 3 * WINDOW)
    changed = x.clone()
    changed[..., WINDOW + 3] += 1
    differs = (layer(changed) != layer(x)).any(1).flatten()
    assert differs[WINDOW : 2 * WINDOW].all()
    assert not differs[:WINDOW].any() and not differs[2 * WINDOW :].any()


@torch.no_grad()
@pytest.mark.parametrize("windows", [1, 3])
def test_the_graph_computes_the_same(layer, windows):
    x = noise(2, CHANNELS, 1, windows * WINDOW)
    found, _ = OnnxLayer(layer, CHANNELS).step(x, {})
    torch.testing.assert_close(found, layer(x), rtol=1e-4, atol=1e-5)


def test_a_fresh_layer_passes_its_input_on():
    x = noise(1, CHANNELS, 1, WINDOW)
    assert torch.equal(WindowAttention(CHANNELS, WINDOW)(x), x)


def test_a_narrow_layer_has_one_head():
    assert (WindowAttention(16, 4).heads, WindowAttention(16, 4).head) == (1, 16)


def test_turning_keeps_lengths_and_tells_distances():
    turn, x = rotary_turn(WINDOW, 64), nn.functional.normalize(noise(2, 64), dim=1)
    first, second = (turned(one.expand(WINDOW, 64), turn) for one in x)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(WINDOW))
    products = first @ second.T
    for distance in range(1, WINDOW):
        along = products.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=1e-4, atol=1e-5)
