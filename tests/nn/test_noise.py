"""Noise that is the same on every machine and in all pieces that begin where its table does."""

import pytest
import torch

from onnx_layers import OnnxLayer
from soundstream.nn.layers.noise import Noise, noise_table
from tiny import noise

CHANNELS, LENGTH = 6, 40


@pytest.fixture
def layer():
    torch.manual_seed(0)
    made = Noise(CHANNELS, LENGTH, seed=3)
    torch.nn.init.normal_(made.weight)
    return made.eval()


def test_the_table_is_normal_and_white():
    table = noise_table(100_000, 0).double()
    assert abs(table.mean()) < 0.01 and abs(table.var() - 1) < 0.02
    assert abs((table**4).mean() - 3) < 0.15
    assert (table.abs() > 3).double().mean() == pytest.approx(0.0027, abs=0.0006)
    assert all(abs((table[:-lag] * table[lag:]).mean()) < 0.02 for lag in (1, 2, 5, 100))


def test_the_table_is_the_same_for_good():
    """Bytes of a frozen generator; a change here changes the sound of every file of such a model."""
    expected = torch.tensor([106.0, 402.0, 122.0, -456.0])
    found = noise_table(4, 0) * (16 * (256**2 - 1) / 12) ** 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_tables_of_two_numbers_have_nothing_in_common():
    one, other = noise_table(100_000, 0), noise_table(100_000, 1)
    assert abs((one * other).mean()) < 0.01


@torch.no_grad()
def test_a_layer_is_its_formula(layer):
    x = noise(2, CHANNELS, 1, 2 * LENGTH + 5)
    table = torch.cat([layer.table] * 3)[: x.shape[-1]]
    expected = x + table * torch.einsum("oi,bilt->bolt", layer.weight[..., 0, 0], x)
    torch.testing.assert_close(layer(x), expected)
    found, _ = OnnxLayer(layer, CHANNELS).step(x, {})
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_pieces_from_the_start_of_the_table_on_are_those_of_the_whole(layer):
    x = noise(1, CHANNELS, 1, 3 * LENGTH)
    assert torch.equal(layer(x)[..., 2 * LENGTH :], layer(x[..., 2 * LENGTH :]))
    assert not torch.equal(layer(x)[..., LENGTH + 1 :], layer(x[..., LENGTH + 1 :]))


def test_training_draws_it_afresh(layer):
    x = noise(2, CHANNELS, 1, LENGTH)
    layer.train()
    first, second = ((layer(x) - x)[0] for _ in range(2))
    assert not torch.allclose(first, second)
    both = layer(noise(1, CHANNELS, 1, LENGTH).expand(2, -1, -1, -1))
    assert not torch.allclose(both[0], both[1])
