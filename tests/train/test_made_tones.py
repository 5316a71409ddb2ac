import numpy as np
import pytest

from soundstream.train.data import made_tones as kinds
from soundstream.train.data.made_tones import MAX_SHARE, PEAK, made_tones

RATE = 8000
TIME_S = np.arange(RATE) / RATE
HIGHEST = MAX_SHARE * RATE / 2


def power(signal):
    return np.square(np.abs(np.fft.rfft(signal * np.hanning(len(signal)))))


def test_tones_are_the_same_for_the_same_chance_and_have_one_peak():
    first, again = (made_tones(np.random.default_rng(1), 30, 4000, RATE) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (30, 4000) and first.dtype == np.float32
    np.testing.assert_allclose(np.abs(first).max(axis=1), PEAK, rtol=1e-3)
    assert made_tones(np.random.default_rng(1), 0, 4000, RATE).shape == (0, 4000)


def test_nothing_lies_above_the_highest_frequency():
    made = made_tones(np.random.default_rng(2), 60, RATE, RATE)
    shares = [power(row)[int(HIGHEST) + 60 :].sum() / power(row).sum() for row in made]
    assert max(shares) < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_a_tone_is_one_line_and_a_harmonic_series_stands_at_multiples(seed):
    line = power(kinds._tone(np.random.default_rng(seed), TIME_S, HIGHEST))
    assert line[line.argmax() - 2 : line.argmax() + 3].sum() > 0.999 * line.sum()
    series = power(kinds._harmonics(np.random.default_rng(seed), TIME_S[:800], HIGHEST))
    peaks = np.flatnonzero(
        (series[1:-1] > series[:-2]) & (series[1:-1] > series[2:]) & (series[1:-1] > 0.01 * series.max())
    )
    assert len(peaks) >= 2


def test_the_table_of_a_period_gives_what_the_sum_of_its_sines_does():
    rng = np.random.default_rng(3)
    levels, phases, turns = rng.random(160), rng.random(160), rng.random(2000)
    summed = sum(
        a * np.cos(2 * np.pi * (n * turns + p)) for n, (a, p) in enumerate(zip(levels, phases, strict=True), start=1)
    )
    error = kinds._repeated(levels * np.exp(2j * np.pi * phases), turns) - summed
    assert np.square(error).mean() < 1e-6 * np.square(summed).mean()


def test_a_sweep_glides_from_its_first_to_its_last_frequency():
    rng, twin = np.random.default_rng(4), np.random.default_rng(4)
    signal = kinds._sweep(rng, TIME_S, HIGHEST)
    ends = kinds._pitch(twin, HIGHEST), kinds._pitch(twin, HIGHEST)
    heard = [power(part).argmax() * RATE / 400 for part in (signal[:400], signal[-400:])]
    np.testing.assert_allclose(heard, ends, rtol=0.25, atol=30)


def test_some_tones_begin_end_or_beep_within_the_crop():
    gates = np.stack([kinds._gate(np.random.default_rng(seed), TIME_S) for seed in range(60)])
    whole = (gates == 1).all(axis=1).mean()
    assert 0.15 < whole < 0.55
    assert gates.min() == 0 and gates.max() == 1
    assert np.abs(np.diff(gates)).max() <= 1 / (kinds.EDGE_S * RATE) + 1e-9
