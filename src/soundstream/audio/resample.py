"""Changing the sample rate of a stream or of a whole."""

from __future__ import annotations

import numpy as np
import soxr


class Resampler:
    """Changes the sample rate of a stream; equal rates pass through.

    In all, `n` samples give `resampled_length(n, from_rate, to_rate)`, without a shift in time.

    Args:
        from_rate, to_rate: Hz.
        channels: rows of the pcm that will be pushed.
    """

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        self.from_rate = from_rate
        self.to_rate = to_rate
        self._taken = 0
        self._given = 0
        self._stream = None if from_rate == to_rate else soxr.ResampleStream(from_rate, to_rate, channels)
        self._channels = channels

    def push(self, pcm: np.ndarray) -> np.ndarray:
        """Take pcm [channels, samples] of any length and give the samples that are ready, often none."""
        self._taken += pcm.shape[1]
        return self._resample(pcm)

    def flush(self) -> np.ndarray:
        """Give the tail; the stream is over."""
        left = resampled_length(self._taken, self.from_rate, self.to_rate) - self._given
        silence = np.zeros((self._channels, -(-self.from_rate // self.to_rate)), np.float32)
        return self._resample(silence, last=True)[:, :left]

    def _resample(self, pcm: np.ndarray, last: bool = False) -> np.ndarray:
        if self._stream is not None:
            pcm = self._stream.resample_chunk(np.ascontiguousarray(pcm.T, np.float32), last).T
        self._given += pcm.shape[1]
        return np.ascontiguousarray(pcm)


def resampled_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Samples after resampling: num_samples * to_rate / from_rate, rounded up.

    Rounding up means that the way back never falls short of num_samples.
    """
    return -(-num_samples * to_rate // from_rate)


def resample(pcm: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample whole pcm [channels, samples]; see `Resampler`."""
    resampler = Resampler(from_rate, to_rate, pcm.shape[0])
    return np.concatenate([resampler.push(pcm), resampler.flush()], axis=1)
