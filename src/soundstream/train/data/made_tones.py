"""Tones made by chance: networks that never heard a pure tone above a voice's own lose it.

Single tones, sweeps, chords, dialling tones, whistles and harmonic series of any pitch, some with onsets, ends or gaps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
Kind = Callable[[np.random.Generator, Signal, float], Signal]

MIN_HZ = 60.0
MAX_SHARE = 0.92
"""Highest frequency, of half the sample rate."""
PEAK = 0.5
EDGE_S = 0.005
"""Length of an onset."""
PERIOD_SAMPLES = 16_384
"""Of the table of a period, between which lines are drawn: the error lies 60 dB below the highest harmonic."""
DIALLING_HZ = ((697.0, 770.0, 852.0, 941.0), (1209.0, 1336.0, 1477.0, 1633.0))
"""Rows and columns of a telephone's keys (ITU-T Q.23)."""


def made_tones(rng: np.random.Generator, rows: int, length: int, sample_rate: int) -> NDArray[np.float32]:
    """Tones `[rows, length]` of random kinds with a peak of 0.5; the same for the same state of `rng`.

    Args:
        sample_rate: Hz.
    """
    time_s, highest = np.arange(length) / sample_rate, MAX_SHARE * sample_rate / 2
    kinds: tuple[Kind, ...] = (_tone, _tone, _sweep, _chord, _dialling, _whistle, _harmonics, _harmonics)
    made = np.zeros((rows, length))
    for row in made:
        row[:] = kinds[rng.integers(len(kinds))](rng, time_s, highest) * _gate(rng, time_s)
    return (PEAK * made / np.maximum(np.abs(made).max(axis=1, keepdims=True), 1e-9)).astype(np.float32)


def _tone(rng: np.random.Generator, time_s: Signal, highest: float) -> Signal:
    return np.asarray(np.sin(2 * np.pi * (_pitch(rng, highest) * time_s + rng.random())))


def _sweep(rng: np.random.Generator, time_s: Signal, highest: float) -> Signal:
    """A tone that glides evenly in octaves."""
    first, last = _pitch(rng, highest), _pitch(rng, highest)
    return _turned(np.geomspace(first, last, len(time_s)), time_s)


def _chord(rng: np.random.Generator, time_s: Signal, highest: float) -> Signal:
    return np.sum([rng.uniform(0.3, 1) * _tone(rng, time_s, highest) for _ in range(rng.integers(2, 5))], axis=0)


def _dialling(rng: np.random.Generator, time_s: Signal, highest: float) -> Signal:
    low, high = (rng.choice(column) for column in DIALLING_HZ)
    return np.asarray(sum(np.sin(2 * np.pi * min(hertz, highest) * time_s) for hertz in (low, high)))


def _whistle(rng: np.random.Generator, time_s: Signal, highest: float) -> Signal:
    """A tone of 500 Hz to 5 kHz that trembles and wanders, with a breath of noise."""
    middle = min(highest, np.exp(rng.uniform(np.log(500), np.log(5000))))
    vibrato = rng.uniform(0, 0.03) * np.sin(2 * np.pi * rng.uniform(4, 8) * time_s)
    drift = np.interp(time_s, np.linspace(0, max(time_s[-1], 1e-3), 6), rng.normal(0, 0.05, 6))
    return _turned(np.minimum(middle * np.exp(vibrato + drift), highest), time_s) + rng.normal(0, 0.02, len(time_s))


def _harmonics(rng: np.random.Generator, time_s: Signal, highest: float) -> Signal:
    """A harmonic series up to the highest frequency, its pitch gliding a little, falling 0 to 12 dB an octave."""
    pitch = np.exp(rng.uniform(np.log(MIN_HZ), np.log(1000)))
    glide = np.exp(rng.normal(0, 0.1) * time_s / max(time_s[-1], 1e-3))
    turns = np.cumsum(pitch * glide) * (time_s[1] - time_s[0]) % 1
    numbers = np.arange(1, 1 + int(highest / (pitch * glide.max())))
    slope_db = rng.uniform(0, 12)
    levels = 10 ** (-slope_db * np.log2(numbers) / 20)
    return _repeated(levels * np.exp(2j * np.pi * rng.random(len(numbers))), turns)


def _repeated(harmonics: NDArray[np.complex128], turns: Signal) -> Signal:
    """Complex amplitudes of the harmonics of a period, by way of a table of it, at these parts of it."""
    table = PERIOD_SAMPLES * np.fft.irfft(np.concatenate([[0], harmonics]) / 2, PERIOD_SAMPLES)
    return np.interp(turns * PERIOD_SAMPLES, np.arange(PERIOD_SAMPLES + 1), np.append(table, table[0]))


def _gate(rng: np.random.Generator, time_s: Signal) -> Signal:
    """Whole for a third of the tones; else with one onset or end, or beeping, with edges of 5 ms."""
    kind, where = rng.integers(3), rng.uniform(0.1, 0.9) * time_s[-1]
    if kind == 0:
        return np.ones(len(time_s))
    if kind == 1:
        distance = (time_s - where) * rng.choice((-1, 1))
    else:
        period_s, share = rng.uniform(0.1, 0.5), rng.uniform(0.3, 0.8)
        place = (time_s + where) % period_s
        distance = np.minimum(place, period_s * share - place)
    return np.asarray(np.clip(distance / EDGE_S, 0, 1))


def _pitch(rng: np.random.Generator, highest: float) -> float:
    """Evenly drawn in octaves."""
    return float(np.exp(rng.uniform(np.log(MIN_HZ), np.log(highest))))


def _turned(hertz: Signal, time_s: Signal) -> Signal:
    return np.asarray(np.sin(2 * np.pi * np.cumsum(hertz) * (time_s[1] - time_s[0])))
