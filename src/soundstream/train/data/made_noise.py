"""Noise made by chance, beside recorded noise: hiss of any colour, gusts of it, hum of the mains, crackle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array

_MAINS_HZ = (50.0, 60.0)
_HARMONICS = 12
_COLOUR_POINTS = 7
_COLOUR_DB = 15.0
"""Deviation of the spectrum's level from point to point, which lie evenly over the octaves."""
_GUSTS_PER_S = (0.5, 8.0)
_CRACKLES_PER_S = (2.0, 200.0)


def made_noise(rng: np.random.Generator, rows: int, length: int, sample_rate: int) -> Array:
    """Noises `[rows, length]` of random kinds, each with an RMS of about 0.1; the same for the same state of `rng`.

    Args:
        sample_rate: Hz.
    """
    kinds: tuple[Callable[[np.random.Generator, int, int], NDArray], ...] = (_hiss, _gusts, _hum, _crackle)
    made = [kinds[rng.choice(len(kinds), p=(0.4, 0.3, 0.15, 0.15))](rng, length, sample_rate) for _ in range(rows)]
    noises = np.stack(made) if made else np.empty((0, length))
    rms = np.sqrt(np.square(noises).mean(-1, keepdims=True)) + 1e-9
    return (0.1 / rms * noises).astype(np.float32)


def _hiss(rng: np.random.Generator, length: int, sample_rate: int) -> NDArray:
    """Gaussian noise whose spectrum wanders from octave to octave."""
    return _coloured(rng, rng.standard_normal(length), sample_rate)


def _gusts(rng: np.random.Generator, length: int, sample_rate: int) -> NDArray:
    """Hiss that swells and ebbs."""
    points = 2 + int(rng.uniform(*_GUSTS_PER_S) * length / sample_rate)
    level_db = np.interp(np.linspace(0, points - 1, length), np.arange(points), rng.normal(0, 8, points))
    return _hiss(rng, length, sample_rate) * 10 ** (level_db / 20)


def _hum(rng: np.random.Generator, length: int, sample_rate: int) -> NDArray:
    """Harmonics of the mains frequency at random levels, over faint hiss."""
    time = np.arange(length) / sample_rate
    number = np.arange(1, 1 + _HARMONICS)
    levels = 10 ** (rng.normal(-3 * number, 8) / 20)
    phases = 2 * np.pi * (rng.choice(_MAINS_HZ) * number[:, None] * time + rng.random((_HARMONICS, 1)))
    return levels @ np.sin(phases) + 0.05 * _hiss(rng, length, sample_rate)


def _crackle(rng: np.random.Generator, length: int, sample_rate: int) -> NDArray:
    """Clicks at random times, coloured as hiss is."""
    chance = rng.uniform(*_CRACKLES_PER_S) / sample_rate
    clicks = (rng.random(length) < chance) * rng.standard_normal(length)
    clicks[rng.integers(length)] = 1.0
    return _coloured(rng, clicks, sample_rate)


def _coloured(rng: np.random.Generator, signal: NDArray, sample_rate: int) -> NDArray:
    spectrum = np.fft.rfft(signal)
    octave = np.log2(np.maximum(np.fft.rfftfreq(len(signal), 1 / sample_rate), 30) / 30)
    walk = np.cumsum(rng.normal(0, _COLOUR_DB, _COLOUR_POINTS)) / np.sqrt(_COLOUR_POINTS) * 2
    slope_db = rng.uniform(-9, 3) * octave
    level_db = np.interp(octave, np.linspace(0, octave[-1], _COLOUR_POINTS), walk) + slope_db
    return np.fft.irfft(spectrum * 10 ** ((level_db - level_db.max()) / 20), n=len(signal))
