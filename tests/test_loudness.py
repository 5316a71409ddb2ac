"""Loudness by BS.1770 beside what the recommendation and its best known Python program say."""

import numpy as np
import pytest

from soundstream.analysis.loudness import SILENCE, Loudness


def measured(pcm, rate, size=10**7):
    meter = Loudness(rate, len(pcm))
    for start in range(0, pcm.shape[1], size):
        meter.push(pcm[:, start : start + size])
    return meter.value()


def burst(rate, samples):
    """Noise that is 40 dB quieter after three fifths."""
    rng = np.random.default_rng(0)
    loud = 0.1 * rng.normal(size=samples) * (np.arange(samples) < 0.6 * samples)
    return (loud + 0.001 * rng.normal(size=samples)).astype(np.float32)[None]


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
def test_a_full_sine_is_as_loud_as_the_recommendation_says(rate):
    sine = np.sin(2 * np.pi * 997 * np.arange(3 * rate) / rate).astype(np.float32)
    assert measured(sine[None], rate)[0] == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize(
    ("rate", "samples", "lufs"),
    [
        (16_000, 16_000, -18.601746),
        (24_000, 240_777, -17.212377),
        (44_100, 44_100, -18.201995),
        (44_100, 441_777, -17.018484),
    ],
)
def test_noise_and_near_silence_are_as_loud_as_pyloudnorm_has_them(rate, samples, lufs):
    """Its version 0.2.0."""
    assert measured(burst(rate, samples), rate)[0] == pytest.approx(lufs, abs=1e-5)


def test_quiet_parts_do_not_count():
    loud = burst(24_000, 48_000)[:, :24_000]
    with_silence = np.concatenate([loud, np.zeros((1, 240_000), np.float32)], axis=1)
    assert measured(with_silence, 24_000)[0] == pytest.approx(measured(loud, 24_000)[0], abs=0.7)


@pytest.mark.parametrize("size", [1, 777, 24_000])
def test_any_pieces_are_as_loud_as_the_whole(size):
    pcm = burst(24_000, 5_001 if size == 1 else 60_001)
    np.testing.assert_allclose(measured(pcm, 24_000, size), measured(pcm, 24_000), rtol=0, atol=1e-9)


def test_signals_side_by_side_are_measured_each_by_itself():
    pcm = burst(24_000, 48_000)
    both = measured(np.concatenate([pcm, 0.1 * pcm]), 24_000)
    assert both[0] - both[1] == pytest.approx(20, abs=0.2)


@pytest.mark.parametrize("samples", [0, 1, 48_000])
def test_silence_has_a_loudness_too(samples):
    assert measured(np.zeros((1, samples), np.float32), 24_000) == [SILENCE]
