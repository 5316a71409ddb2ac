"""Sample rates changed with little delay: soxr, which files use, holds back 37 to 75 ms to work in blocks."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from soundstream.arrays import Array
from soundstream.audio.resample import resampled_length

REACH = 32
"""Samples of the lower rate that the filter sees to either side: 1.3 ms at 24 kHz."""
CUTOFF = 0.93
"""Where the filter is at half, as a share of half the lower rate; it passes 0.86 and stops 1.0."""
KAISER_BETA = 6.8
"""Shape of the window: what should be stopped is 70 dB down."""


class LiveResampler:
    """`audio.Resampler` for live sound: the same lengths and no shift in time, but samples come as soon as they can.

    A windowed sinc, evaluated at the place of each new sample.

    Args:
        from_rate, to_rate: Hz.
        channels: rows of the pcm that will be pushed.
    """

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        self._rates = from_rate, to_rate
        shared = math.gcd(from_rate, to_rate)
        self._step, self._phases = from_rate // shared, to_rate // shared
        self._filters = _filters(self._step, self._phases)
        self._reach = self._filters.shape[1] // 2
        self._held = np.zeros((channels, max(0, self._reach - 1)), np.float32)
        self._place = 0  # of the next sample after the first that its filter sees in _held, in 1 / _phases samples
        self._taken = self._given = 0

    @property
    def latency_ms(self) -> float:
        """How long a sample waits for those after it that its filter sees."""
        return 1000 * self._reach / self._rates[0]

    def push(self, pcm: Array) -> Array:
        """Take pcm `[channels, samples]` of any length and give the samples that are ready, often none."""
        self._taken += pcm.shape[1]
        if not self._reach:
            return pcm
        held = np.concatenate([self._held, pcm], axis=1)
        room = (held.shape[1] - 2 * self._reach + 1) * self._phases
        places = np.arange(self._place, room, self._step)
        first = (self._place + len(places) * self._step) // self._phases
        self._place += len(places) * self._step - first * self._phases
        self._held = held[:, first:].copy()
        self._given += len(places)
        return self._filtered(held, places)

    def flush(self) -> Array:
        """Give the tail; the stream is over."""
        left = resampled_length(self._taken, *self._rates) - self._given
        silence = np.zeros((len(self._held), 2 * self._reach), np.float32)
        return self.push(silence)[:, :left]

    def _filtered(self, held: Array, places: NDArray[np.int64]) -> Array:
        if not len(places):
            return np.zeros((len(held), 0), np.float32)
        whole, phase = np.divmod(places, self._phases)
        seen = sliding_window_view(held, 2 * self._reach, axis=1)[:, whole]
        return np.einsum("cst,st->cs", seen, self._filters[phase])


@lru_cache(maxsize=16)
def _filters(step: int, phases: int) -> Array:
    """Weights `[phases, 2 * reach]` of the samples around each place between two; no reach where rates are equal."""
    if step == phases:
        return np.zeros((1, 0), np.float32)
    share = min(1.0, phases / step)  # of the lower rate in the rate that comes in
    reach = math.ceil(REACH / share)
    away = np.arange(1 - reach, reach + 1) - np.arange(phases)[:, None] / phases
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - np.square(away / reach), 0, None))) / np.i0(KAISER_BETA)
    weights = CUTOFF * share * np.sinc(CUTOFF * share * away) * window
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
