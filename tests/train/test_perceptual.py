import math

import numpy as np
import pytest
import torch

from soundstream.analysis.harmonics import harmonic_correlation
from soundstream.train.losses.perceptual import ComplexLoss, HarmonicLoss, LevelLoss, emphasized, erb_bands
from tiny import noise

RATE = 24_000


def voice(pitch, level=0.1):
    """A second of harmonics up to 5 kHz, with a little noise."""
    time = torch.arange(RATE) / RATE
    tones = [torch.sin(2 * math.pi * n * pitch * time) / n for n in range(1, int(5000 / pitch))]
    return level * sum(tones)[None, None] + noise(1, 1, RATE, scale=1e-3)


@pytest.mark.parametrize("kind", [LevelLoss, ComplexLoss, HarmonicLoss])
def test_identity_costs_nothing_and_gradients_are_finite_even_in_silence(kind):
    loss, x = kind(RATE), noise(2, 1, 8000)
    assert float(loss(x, x)) == pytest.approx(0, abs=1e-5)
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


@pytest.mark.parametrize("samples", [RATE, 7600])
@pytest.mark.parametrize("rate", [24_000, 16_000])
def test_the_harmonic_loss_is_1_less_the_harmonic_correlation(samples, rate):
    x = voice(150)[..., :samples]
    for y in (0.5 * x + noise(1, 1, samples, seed=1, scale=0.003), voice(170)[..., :samples], torch.zeros_like(x)):
        expected = 1 - np.mean(harmonic_correlation(x[0, 0].numpy(), y[0, 0].numpy(), rate))
        assert float(HarmonicLoss(rate)(x, y)) == pytest.approx(expected, abs=2e-3)


def test_the_harmonic_loss_of_a_batch_is_the_mean_of_its_examples_and_silence_costs_nothing():
    x, y = torch.cat([voice(150), voice(300), torch.zeros(1, 1, RATE)]), torch.cat([voice(160), voice(310), voice(90)])
    loss = HarmonicLoss(RATE)
    each = [float(loss(x[[i]], y[[i]])) for i in range(3)]
    assert float(loss(x, y)) == pytest.approx(sum(each) / 3, rel=1e-5)
    assert each[2] == 0 < min(each[:2])


def test_following_the_harmonic_loss_brings_lines_into_noise():
    x, y = voice(200), (0.02 * noise(1, 1, RATE, seed=2, scale=1.0)).requires_grad_()
    loss, optimizer = HarmonicLoss(RATE), torch.optim.Adam([y], lr=1e-3)
    before = harmonic_correlation(x[0, 0].numpy(), y[0, 0].detach().numpy(), RATE)
    for _ in range(30):
        optimizer.zero_grad()
        loss(x, y).backward()
        optimizer.step()
    after = harmonic_correlation(x[0, 0].numpy(), y[0, 0].detach().numpy(), RATE)
    assert max(before) < 0.2 and min(after) > 0.4


def test_at_a_low_rate_the_harmonic_loss_has_the_bands_that_there_are():
    assert len(HarmonicLoss(8000).bands) == 2


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
