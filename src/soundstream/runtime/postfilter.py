"""A pitch post-filter: harmonics that decoded voices lack are made from the pitch that they have kept.

    y[n] = x[n] + v * (a * x - x)[n] + v * (h1 * x)[n - T] + v * (h2 * x)[n - 2T]

T is the pitch period and v how periodic the sound is, both found in the decoded sound: nothing is sent for it, and no
sound comes later. The linear-phase filters h1 and h2 and the minimum-phase a do two things:

* Below 1.3 kHz, where harmonics are right and noise lies between them, sound is averaged with the period before.
* From there to 3 kHz, where decoded voices are noise of the right level, a comb of two periods makes harmonics of it,
  whose level is that of the noise. A stronger comb, and one up to 5 kHz, gain less by PESQ than they lose by ViSQOL.

Source: ours. Related: long-term post-filters of speech codecs (Chen and Gersho, 1995), and that of LC3, which average
over one past period and have no part that makes harmonics of noise.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array
from soundstream.runtime.pitch import PitchTracker

Floats = NDArray[np.float64]

VOICED = (0.8, 1.0)
"""Correlations at which v is 0 and 1."""
TERMS = 2
"""Past periods that count."""
LOW_GAIN, COMB_GAIN = 0.4, 0.5
"""Of the period before, below `SPLIT_HZ` and from there to `TOP_HZ`; that of the one before it is the comb's square."""
SPLIT_HZ, TOP_HZ = 1300.0, 3000.0
SLOPE_HZ = 200.0
"""Half the width of a step from one gain to the next."""
HALF_S = 0.001
"""Half the length of h1 and h2."""
PHASES = 8
"""Parts of a sample to which a period is rounded."""
SHELF_TAPS = 32
KAISER = 2.5
FADE = 4
"""In this part of a frame its filter takes the place of the one before."""
GRID = 4096


class PitchPostfilter:
    """Decoded sound in, as many samples out, none later; make a new one for each signal.

    Args:
        channels: signals side by side, each with a pitch of its own.
        sample_rate: Hz.
        hop_length: samples of a frame, over which the pitch is one.
    """

    def __init__(self, channels: int, sample_rate: int, hop_length: int) -> None:
        self._hop = hop_length
        self._tracker = PitchTracker(channels, sample_rate, hop_length)
        self._combs, self._shelf = _filters(sample_rate)
        self._half = (self._combs.shape[-1] - 2) // 2
        self._past = np.zeros((channels, TERMS * (self._tracker.max_period + 1) + self._half + 2))
        self._last = [(0.0, 0.0)] * channels
        self._fade = np.minimum(1, (np.arange(hop_length) + 0.5) * FADE / hop_length)

    @property
    def memory_frames(self) -> int:
        """Frames before one that it may depend on: those of the pitch of the frame before, whose filter fades out."""
        return 1 + math.ceil(max(self._tracker.memory_samples, self._past.shape[1]) / self._hop)

    def push(self, pcm: Array) -> Array:
        """Take pcm `[channels, frames * hop_length]`; give the same samples, filtered."""
        if not pcm.shape[1]:
            return pcm
        periods, correlations = self._tracker.push(pcm)
        shares = np.clip((correlations - VOICED[0]) / (VOICED[1] - VOICED[0]), 0, 1)
        heard = np.concatenate([self._past, pcm], axis=1)
        self._past = heard[:, pcm.shape[1] :]
        rows = zip(heard, shares.tolist(), periods.tolist(), strict=True)
        return np.stack([pcm[i] + self._change(i, x, list(zip(v, t, strict=True))) for i, (x, v, t) in enumerate(rows)])

    def _change(self, channel: int, heard: Floats, frames: list[tuple[float, float]]) -> Array:
        """What is added to a channel; `frames` are shares and periods."""
        change = np.zeros(len(frames) * self._hop)
        for i, frame in enumerate(frames):
            last, self._last[channel] = self._last[channel], frame
            start = i * self._hop
            part = change[start : start + self._hop]
            if frame[0]:
                part += self._fade * self._voiced(heard, start, self._hop, *frame)
            if last[0]:
                short = self._hop // FADE
                part[:short] += (1 - self._fade[:short]) * self._voiced(heard, start, short, *last)
        return change.astype(np.float32)

    def _voiced(self, heard: Floats, start: int, samples: int, share: float, period: float) -> Floats:
        """The change of `samples` from `start` on for one pitch."""
        first = self._past.shape[1] + start
        now = heard[first - SHELF_TAPS + 1 : first + samples]
        change = np.convolve(now, self._shelf, "valid")
        for term in range(1, TERMS + 1):
            lag, phase = divmod(round(term * period * PHASES), PHASES)
            begin = first - lag - self._half - 1
            seen = heard[begin : begin + samples + 2 * self._half + 1]
            change += np.convolve(seen, self._combs[term - 1, phase], "valid")
        return share * change


@cache
def _filters(sample_rate: int) -> tuple[Floats, Floats]:
    """h1 and h2 `[TERMS, PHASES, taps]`, late by half their length and a part of a sample; a less the identity."""
    hz = np.arange(GRID + 1) / GRID * sample_rate / 2
    comb = _steps(hz, [(SPLIT_HZ, COMB_GAIN), (TOP_HZ, 0.0)], 0.0)
    average = _steps(hz, [(SPLIT_HZ, 0.0)], LOW_GAIN)
    powers = [comb**term for term in range(TERMS + 1)]
    level = np.sqrt(sum(power * power for power in powers)) * (1 + average)
    powers[1] = powers[1] + average
    half = round(HALF_S * sample_rate)
    combs = [[_linear_phase(power / level, half, phase / PHASES) for phase in range(PHASES)] for power in powers[1:]]
    shelf = _minimum_phase(1 / level)
    shelf[0] -= 1
    return np.array(combs), shelf


def _steps(hz: Floats, steps: list[tuple[float, float]], first: float) -> Floats:
    """A response that is `first` at 0 Hz and goes to each step's gain at its frequency."""
    ends = [frequency + side for frequency, _ in steps for side in (-SLOPE_HZ, SLOPE_HZ)]
    gains = [first, *(gain for _, gain in steps)]
    return np.interp(hz, ends, np.repeat(gains, 2)[1:-1])


def _linear_phase(response: Floats, half: int, late: float) -> Floats:
    times = np.arange(2 * half + 2) - half - late
    angles = np.pi * np.arange(GRID + 1) / GRID
    taps = (response * np.cos(angles * times[:, None])).sum(1) / GRID
    return taps * np.i0(KAISER * np.sqrt(np.maximum(0, 1 - (times / (half + 1)) ** 2))) / np.i0(KAISER)


def _minimum_phase(response: Floats) -> Floats:
    """The taps that have this magnitude and come as early as they can, by way of the cepstrum."""
    cepstrum = np.fft.irfft(np.log(response))
    cepstrum[1:GRID] *= 2
    cepstrum[GRID + 1 :] = 0
    return np.fft.irfft(np.exp(np.fft.rfft(cepstrum)))[:SHELF_TAPS]
