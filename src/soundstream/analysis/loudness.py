"""Loudness of a signal that comes in pieces, in LUFS: K-weighting, and the mean of blocks that are not silent.

Nothing of the signal is kept but its energies in steps of a tenth of a second.

Source: ITU-R BS.1770-4, annex 1. Of the filters, the cookbook's forms of the two stages, as most programs have them.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array

Floats = NDArray[np.float64]

SILENCE = -70.0
"""LUFS of silence; blocks that are not louder do not count."""
_STEP_S = 0.1
"""From one block to the next."""
_STEPS = 4
"""Of a block."""
_RELATIVE = 10.0
"""LU below the mean of all blocks at which one does not count."""
_OFFSET = -0.691
_SHORTEST_S = 0.5
"""A shorter signal has silence behind it."""
_RESPONSE_S = 0.15
"""After which the filters' response is below 1e-12."""


class Loudness:
    """Loudness of each of some signals by itself.

    Args:
        sample_rate: Hz.
        signals: rows of the pcm that will be pushed.
    """

    def __init__(self, sample_rate: int, signals: int) -> None:
        self._rate, self._step = sample_rate, int(_STEP_S * sample_rate)
        self._response = k_weighting(sample_rate)
        self._past = np.zeros((signals, len(self._response) - 1))
        self._rest = np.zeros((signals, 0))
        self._energies = [np.zeros((signals, 0))]
        self._samples = 0

    def push(self, pcm: Array) -> None:
        """Take pcm `[signals, samples]` of any length."""
        self._samples += pcm.shape[1]
        joined = np.concatenate([self._past, pcm], axis=1)
        self._past = joined[:, joined.shape[1] - self._past.shape[1] :]
        size = 1 << (joined.shape[1] + len(self._response) - 1).bit_length()
        spectrum = np.fft.rfft(joined, size) * np.fft.rfft(self._response, size)
        weighted = np.fft.irfft(spectrum, size)[:, len(self._response) - 1 : joined.shape[1]]
        self._count(np.concatenate([self._rest, np.square(weighted)], axis=1))

    def _count(self, squares: Floats) -> None:
        steps = squares.shape[1] // self._step
        whole, self._rest = np.split(squares, [steps * self._step], axis=1)
        self._energies.append(whole.reshape(len(whole), steps, self._step).sum(axis=2))

    def value(self) -> Floats:
        """LUFS `[signals]` of all that came, -70 at least; the signals are over."""
        missing = max(0, int(_SHORTEST_S * self._rate) - self._samples, -self._samples % self._step)
        self.push(np.zeros((len(self._past), missing), np.float32))
        if self._rest.shape[1]:
            self._count(np.pad(self._rest, ((0, 0), (0, self._step - self._rest.shape[1]))))
        steps = np.concatenate(self._energies, axis=1)
        blocks = np.lib.stride_tricks.sliding_window_view(steps, _STEPS, axis=1).sum(axis=2) / (_STEPS * self._step)
        return np.array([_gated(row) for row in blocks])


def _gated(blocks: Floats) -> float:
    """LUFS of the blocks `[blocks]` that are loud enough."""
    with np.errstate(divide="ignore"):
        levels = _OFFSET + 10 * np.log10(blocks)
    heard = levels > SILENCE
    if not heard.any():
        return SILENCE
    heard &= levels > _lufs(blocks[heard]) - _RELATIVE
    return max(SILENCE, _lufs(blocks[heard]))


def _lufs(blocks: Floats) -> float:
    return _OFFSET + 10 * math.log10(float(blocks.mean()))


@cache
def k_weighting(sample_rate: int) -> Floats:
    """Impulse response of both stages: a shelf of 4 dB above 1.5 kHz, and a high-pass at 38 Hz."""
    response = np.zeros(int(_RESPONSE_S * sample_rate))
    response[0] = 1
    for b, a in (_shelf(sample_rate), _high_pass(sample_rate)):
        response = _filtered(response, b, a)
    return response


def _shelf(sample_rate: int, gain_db: float = 4.0, frequency: float = 1500.0) -> tuple[Floats, Floats]:
    amplitude, angle = 10 ** (gain_db / 40), 2 * math.pi * frequency / sample_rate
    more, less, cosine = amplitude + 1, amplitude - 1, math.cos(angle)
    slope = math.sqrt(2 * amplitude) * math.sin(angle)
    b = [more + less * cosine + slope, -2 * (less + more * cosine), more + less * cosine - slope]
    a = [more - less * cosine + slope, 2 * (less - more * cosine), more - less * cosine - slope]
    return amplitude * np.array(b) / a[0], np.array(a) / a[0]


def _high_pass(sample_rate: int, frequency: float = 38.0) -> tuple[Floats, Floats]:
    angle = 2 * math.pi * frequency / sample_rate
    alpha, cosine = math.sin(angle), math.cos(angle)
    b, a = np.array([0.5, -1, 0.5]) * (1 + cosine), np.array([1 + alpha, -2 * cosine, 1 - alpha])
    return b / a[0], a / a[0]


def _filtered(x: Floats, b: Floats, a: Floats) -> Floats:
    """A recursive filter of second order, sample by sample."""
    y, x1, x2, y1, y2 = np.zeros_like(x), 0.0, 0.0, 0.0, 0.0
    for i, value in enumerate(x.tolist()):
        now = b[0] * value + b[1] * x1 + b[2] * x2 - a[1] * y1 - a[2] * y2
        x1, x2, y1, y2 = value, x1, now, y1
        y[i] = now
    return y
