"""Sounds that no recording holds and every telephone makes: beeps, gated tones, constants, pulses, hard edges.

A network that was trained on recordings may answer one of them with a burst far above full scale, which no mean over
clips shows. Each sound here is at full scale or close to it, so that a codec that keeps its level peaks near 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array

Signal = NDArray[np.float64]

DURATION_S = 1.0
BEEPS_HZ = (60, 125, 250, 440, 800, 1000, 1600, 2500, 4000, 6300, 10_000)
GATES_S = ((0.5, 0.2), (0.2, 0.1), (0.08, 0.02))
"""Period of beeps and how much of it sounds."""
MAX_SHARE = 0.92
"""Highest tone, of half the sample rate."""
_QUIET = 0.03
"""Peak of the quiet ones: -30 dB."""


def hard_sounds(sample_rate: int) -> Iterator[tuple[str, Array]]:
    """Names and sounds `[samples]`, each of 1 s with a peak of at most 1, always the same.

    Args:
        sample_rate: Hz.
    """
    time_s = np.arange(round(DURATION_S * sample_rate)) / sample_rate
    for name, sound in [*_beeps(time_s, sample_rate), *_shapes(time_s)]:
        yield name, np.clip(sound, -1, 1).astype(np.float32)


def worst_peak(code: Callable[[Array], Array], sample_rate: int) -> tuple[float, str]:
    """Largest absolute sample that a codec gives for any of these sounds, and the name of that sound."""
    peaks = {name: float(np.abs(code(sound)).max()) for name, sound in hard_sounds(sample_rate)}
    worst = max(peaks, key=lambda name: peaks[name])
    return round(peaks[worst], 3), worst


def _beeps(time_s: Signal, sample_rate: int) -> Iterator[tuple[str, Signal]]:
    """Tones that are switched on and off without any slope, loud, and quiet and steady."""
    for hertz in BEEPS_HZ:
        if hertz > MAX_SHARE * sample_rate / 2:
            return
        tone = np.sin(2 * np.pi * hertz * time_s)
        yield f"tone of {hertz:,} Hz", tone
        yield f"quiet tone of {hertz:,} Hz", _QUIET * tone
        for period_s, on_s in GATES_S:
            yield f"beeps of {hertz:,} Hz, {on_s:g} of {period_s:g} s", tone * (time_s % period_s < on_s)


def _shapes(time_s: Signal) -> Iterator[tuple[str, Signal]]:
    rng = np.random.default_rng(0)
    yield "constant", np.ones_like(time_s)
    yield "constant steps", np.sign(np.sin(2 * np.pi * 2 * time_s + 0.1))
    for hertz in (50, 100, 440, 1000):
        yield f"square wave of {hertz:,} Hz", np.sign(np.sin(2 * np.pi * hertz * time_s))
        yield f"sawtooth of {hertz:,} Hz", 2 * ((hertz * time_s) % 1) - 1
        yield f"pulses at {hertz:,} Hz", ((hertz * time_s) % 1 < 0.02).astype(float)
    yield "tone of 150 Hz whose sign turns", np.sin(2 * np.pi * 150 * time_s) * np.sign(np.sin(2 * np.pi * 7 * time_s))
    yield "sweeps, beeping", np.sin(2 * np.pi * (300 + 20_000 * (time_s % 0.1)) * time_s) * (time_s % 0.2 < 0.1)
    yield "white noise", rng.uniform(-1, 1, len(time_s))
    yield "white noise, gated", rng.uniform(-1, 1, len(time_s)) * (time_s % 0.2 < 0.05)
    yield "clicks at random", (rng.random(len(time_s)) < 0.01) * rng.choice([-1.0, 1.0], len(time_s))
