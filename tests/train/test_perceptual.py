import math

import pytest
import torch

from soundstream.train.perceptual import ComplexLoss, LevelLoss, emphasized, erb_bands
from tiny import noise

RATE = 24_000


@pytest.mark.parametrize("kind", [LevelLoss, ComplexLoss])
def test_identity_costs_nothing_and_gradients_are_finite_even_in_silence(kind):
    loss, x = kind(RATE), noise(2, 1, 8000)
    assert loss(x, x) == 0
    for target, start in ((x, noise(2, 1, 8000, seed=1)), (torch.zeros_like(x), torch.zeros_like(x) + 1e-9)):
        decoded = start.clone().requires_grad_()
        loss(target, decoded).backward()
        assert decoded.grad.isfinite().all()


@pytest.mark.parametrize("gain_db", [-6.0, 3.0])
def test_the_level_loss_counts_decibels(gain_db):
    x = noise(1, 1, 24_000, scale=0.1)
    assert float(LevelLoss(RATE)(x, x * 10 ** (gain_db / 20))) == pytest.approx(abs(gain_db), abs=0.02)


def test_the_level_loss_does_not_hear_phases_and_the_complex_loss_does():
    time = torch.arange(24_000) / RATE
    x, y = (0.3 * torch.sin(2 * math.pi * 1000 * time + phase)[None, None] for phase in (0.0, 1.5))
    assert LevelLoss(RATE)(x, y) < 0.3
    assert ComplexLoss(RATE)(x, y) > 10 * ComplexLoss(RATE)(x, 0.95 * x)


def test_a_quiet_line_counts_in_the_complex_loss_nearly_as_a_loud_one():
    time = torch.arange(24_000) / RATE
    quiet = 0.003 * torch.sin(2 * math.pi * 4000 * time)[None, None]
    loud = 0.3 * torch.sin(2 * math.pi * 500 * time)[None, None]
    loss, both = ComplexLoss(RATE), quiet + loud
    assert 0.15 < float(loss(both, loud) / loss(both, quiet)) < 1


def test_bands_are_as_wide_as_ears_resolve_and_cover_the_spectrum():
    bands = erb_bands(2048, RATE)
    centres = (bands @ torch.linspace(0, RATE / 2, 1025)) / bands.sum(1)
    assert (centres.diff() > 0).all() and (bands.sum(1).diff()[3:] > 0).all()
    assert centres[0] < 120 and centres[-1] > 10_000
    covered = bands.sum(0)[20:890]
    torch.testing.assert_close(covered, torch.ones_like(covered), atol=0.02, rtol=0)


def test_pre_emphasis_of_nothing_changes_nothing_and_keeps_the_length():
    x = noise(1, 1, 100)
    assert emphasized(x, 0.0) is x
    torch.testing.assert_close(emphasized(x, 0.9)[..., 1:], x[..., 1:] - 0.9 * x[..., :-1])
    assert emphasized(x, 0.9)[..., 0] == x[..., 0]
