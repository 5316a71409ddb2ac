"""The pitch of sound, a frame at a time, from what has been heard so far."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_PERIOD_S, MIN_PERIOD_S = 0.015, 0.0025
"""Periods that are looked for: of 67 to 400 Hz."""
WINDOW_S = 0.05
"""Newest sound, which is compared with what was heard a period before."""
LOWPASS_HZ = 1000.0
"""Harmonics above are not looked at."""
LOWPASS_S = 0.002
"""Half the length of that filter; the sound that is looked at is so much older."""
COARSE = 4
"""The first search looks at every so many samples."""
FRACTIONS = (2, 3, 4)
"""A period is taken to be that part of the best one, the last of these that fits ..."""
FRACTION_FITS = 0.85
"""... with at least this share of the best correlation."""
WORTH_A_LOOK = 0.6
"""Correlation in the first search from which on a second one finds the period exactly."""
SILENCE = 1e-9
"""Energy of a window that counts as none."""


class PitchTracker:
    """Period and correlation of each frame of a signal; make a new one for each signal.

    The correlation is that of the newest 50 ms with those a period before: 1 for a periodic sound, 0 for hiss.

    Source: normalised cross-correlation with a coarse and a fine search, as in open and closed loop searches of speech
    codecs (Chen and Gersho, 1995).

    Args:
        channels: signals side by side, each with a pitch of its own.
        sample_rate: Hz.
        hop_length: samples of a frame.
    """

    def __init__(self, channels: int, sample_rate: int, hop_length: int) -> None:
        self._hop = hop_length
        self._window = round(WINDOW_S * sample_rate)
        self._min_period, self.max_period = round(MIN_PERIOD_S * sample_rate), round(MAX_PERIOD_S * sample_rate)
        self._lowpass = _lowpass(sample_rate)
        self._unfiltered = np.zeros((channels, len(self._lowpass) - 1))
        self._heard = np.zeros((channels, self._window + self.max_period + 2 * COARSE))

    @property
    def memory_samples(self) -> int:
        """Samples before the end of a frame that its pitch may depend on."""
        return self._heard.shape[1] + self._unfiltered.shape[1]

    def push(self, pcm: np.ndarray) -> tuple[Array, Array]:
        """Take pcm `[channels, frames * hop_length]`; give periods in samples and correlations `[channels, frames]`."""
        unfiltered = np.concatenate([self._unfiltered, pcm], axis=1)
        filtered = [np.convolve(row, self._lowpass, "valid") for row in unfiltered]
        heard = np.concatenate([self._heard, np.reshape(filtered, pcm.shape)], axis=1)
        length = self._heard.shape[1]
        self._unfiltered = unfiltered[:, pcm.shape[1] :]
        self._heard = heard[:, pcm.shape[1] :]
        views = np.lib.stride_tricks.sliding_window_view(heard, length, axis=1)[:, self._hop :: self._hop]
        lags, correlations = self._coarse(views[..., ::-1][..., ::COARSE][..., ::-1])
        periods = (COARSE * lags).astype(np.float64)
        for place in np.argwhere(correlations > WORTH_A_LOOK):
            at = tuple(place)
            periods[at], correlations[at] = self._refined(views[at], COARSE * int(lags[at]))
        return np.clip(periods, self._min_period, self.max_period), correlations

    def _coarse(self, heard: Array) -> tuple[NDArray[np.int64], Array]:
        """Periods and correlations of sound `[channels, frames, samples]` of which one sample in `COARSE` is there."""
        low, high = self._min_period // COARSE, self.max_period // COARSE
        correlations = _correlations(heard, self._window // COARSE, high + 1)
        best = found = low + correlations[..., low:].argmax(-1)
        enough = FRACTION_FITS * _at(correlations, best)
        for fraction in FRACTIONS:
            near = np.clip(np.rint(best / fraction).astype(np.int64)[..., None] + [-1, 0, 1], low, high)
            values = np.take_along_axis(correlations, near, -1)
            fits = (best >= fraction * low) & (values.max(-1) > enough)
            found = np.where(fits, _at(near, values.argmax(-1)), found)
        return found, _at(correlations, found)

    def _refined(self, heard: Array, lag: int) -> tuple[float, float]:
        """The best period near this one in sound `[samples]`, to a part of a sample, and the correlation there."""
        newest = heard[-self._window :]
        past = heard[len(heard) - self._window - lag - COARSE :][: self._window + 2 * COARSE]
        sums = np.cumsum(np.concatenate([[0.0], past * past]))
        energies = (sums[self._window :] - sums[: -self._window]) * (newest @ newest)
        values = (np.correlate(past, newest, "valid") / np.sqrt(np.maximum(energies, 0) + SILENCE**2))[::-1]
        best = int(values.argmax())
        offset = _vertex(*values[best - 1 : best + 2]) if 0 < best < 2 * COARSE else 0.0
        return lag - COARSE + best + offset, float(values[best])


def _vertex(before: float, at: float, after: float) -> float:
    """Where between the samples around it the parabola through a maximum has its own."""
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _lowpass(sample_rate: int) -> Array:
    half = round(LOWPASS_S * sample_rate)
    taps = np.sinc(2 * LOWPASS_HZ / sample_rate * np.arange(-half, half + 1)) * np.hanning(2 * half + 3)[1:-1]
    return taps / taps.sum()


def _at(values: np.ndarray, places: NDArray[np.int64]) -> np.ndarray:
    """One value of each row of the last axis."""
    return np.take_along_axis(values, places[..., None], -1)[..., 0]


def _correlations(heard: Array, window: int, lags: int) -> Array:
    """Of the newest `window` samples with those 0 to `lags - 1` samples before: `[..., lags]`, by way of a spectrum."""
    newest, seen = heard[..., -window:], heard[..., -window - lags + 1 :]
    size = 1 << (seen.shape[-1] + window - 1).bit_length()
    spectrum = np.fft.rfft(seen, size) * np.conj(np.fft.rfft(newest, size))
    products = np.fft.irfft(spectrum, size)[..., lags - 1 :: -1]
    sums = np.cumsum(np.concatenate([np.zeros((*seen.shape[:-1], 1)), seen * seen], axis=-1), axis=-1)
    energies = (sums[..., window:] - sums[..., :-window])[..., ::-1] * (newest * newest).sum(-1, keepdims=True)
    return products / np.sqrt(np.maximum(energies, 0) + SILENCE**2)
