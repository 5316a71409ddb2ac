"""Harmonic correlation: what keeps the lines of a spectrum, what only has its level, and where there is no answer."""

from pathlib import Path

import numpy as np
import pytest

from soundstream import audio
from soundstream.analysis.harmonics import BANDS_HZ, harmonic_correlation

RATE = 24_000
EXAMPLES = Path(__file__).parents[1] / "examples" / "clips"


def voice(pitch=150.0, seconds=2.0, rate=RATE, vibrato=0.03):
    """Harmonics up to 5 kHz whose pitch wavers, each 1/n of the first."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * pitch * (time + vibrato / (2 * np.pi * 2) * np.sin(2 * np.pi * 2 * time))
    return np.sum([0.1 * np.sin(n * phase) / n for n in range(1, int(5000 / pitch))], axis=0).astype(np.float32)


def noise_of_the_same_envelope(pcm, rate=RATE):
    """Noise with the level of a signal in each band of 300 Hz."""
    made, given = (np.fft.rfft(x) for x in (np.random.default_rng(0).normal(size=len(pcm)), pcm))
    band = (np.fft.rfftfreq(len(pcm), 1 / rate) // 300).astype(int)
    energy = [np.bincount(band, np.abs(x) ** 2) for x in (given, made)]
    return np.fft.irfft(made * np.sqrt(energy[0] / np.maximum(energy[1], 1e-9))[band], len(pcm)).astype(np.float32)


@pytest.fixture(scope="module")
def speech():
    pcm, rate = audio.read(EXAMPLES / "speech.flac")
    assert rate == RATE
    return pcm[0, : 4 * RATE]


def test_identity_is_1(speech):
    assert harmonic_correlation(speech, speech, RATE) == pytest.approx((1, 1, 1))


def test_noise_of_the_same_envelope_is_0():
    pcm = voice()
    assert harmonic_correlation(pcm, noise_of_the_same_envelope(pcm), RATE) == pytest.approx((0, 0, 0), abs=0.1)


def test_half_an_octave_away_is_0():
    original, transposed = voice(150), voice(150 * 2**0.5)
    assert all(value < 0.2 for value in harmonic_correlation(original, transposed, RATE))


def test_a_change_of_level_or_of_phase_is_no_loss(speech):
    quieter = 0.7 * speech
    assert min(harmonic_correlation(speech, quieter, RATE)) > 0.95
    assert harmonic_correlation(speech, -speech, RATE) == pytest.approx((1, 1, 1))


def test_more_noise_keeps_less():
    pcm = voice()
    noise = np.random.default_rng(0).normal(size=len(pcm)).astype(np.float32)
    found = [harmonic_correlation(pcm, pcm + level * noise, RATE) for level in (0.001, 0.01, 0.1)]
    assert all(a > b > c for a, b, c in zip(*found, strict=True))


def test_a_band_is_heard_alone():
    pcm = voice()
    spectrum, hertz = np.fft.rfft(pcm), np.fft.rfftfreq(len(pcm), 1 / RATE)
    spectrum[hertz > BANDS_HZ[1][0]] = 0
    found = harmonic_correlation(pcm, np.fft.irfft(spectrum, len(pcm)).astype(np.float32), RATE)
    assert found[0] > 0.95 and abs(found[1]) < 0.2 and abs(found[2]) < 0.2


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_the_sample_rate_changes_little(speech, rate):
    decoded = speech + np.random.default_rng(0).normal(0, 0.002, len(speech)).astype(np.float32)
    pair = (audio.resample(pcm[None], RATE, rate)[0] for pcm in (speech, decoded))
    assert harmonic_correlation(*pair, rate) == pytest.approx(harmonic_correlation(speech, decoded, RATE), abs=0.05)


def test_a_band_above_half_the_sample_rate_has_no_answer():
    pcm = voice(rate=8000)
    found = harmonic_correlation(pcm, pcm, 8000)
    assert found[:2] == pytest.approx((1, 1)) and np.isnan(found[2])


@pytest.mark.parametrize("samples", [0, 1, 2047, RATE])
def test_silence_and_short_sound_have_no_answer(samples):
    silence = np.zeros(samples, np.float32)
    assert np.isnan(harmonic_correlation(silence, silence, RATE)).all()


def test_decoded_silence_keeps_nothing():
    pcm = voice()
    assert harmonic_correlation(pcm, np.zeros_like(pcm), RATE) == (0, 0, 0)
