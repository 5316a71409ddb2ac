"""Mel spectra at several resolutions: the yardstick that training and evaluation share.

Amplitudes are scaled so that the spectrum of a full-scale sine peaks at 1. Natural logarithms, floored at `FLOOR`.

Source: SoundStream (Zeghidour et al., 2021), section III-E: 64 mel bins, windows 2^6 to 2^11, hop a quarter of the
window. Differs: filters that hold no frequency bin (at short windows) are left out.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array

WINDOWS = (64, 128, 256, 512, 1024, 2048)
"""Window lengths in samples."""
BINS = 64
FLOOR = 1e-4
"""Amplitude below which the logarithm does not look: -80 dB of full scale."""


@lru_cache(maxsize=32)
def window_function(window: int) -> Array:
    """Hann window `[window]` whose spectrum of a full-scale sine peaks at 1."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.asarray(hann * 2 / hann.sum(), dtype=np.float32)


@lru_cache(maxsize=32)
def filterbank(window: int, sample_rate: int, bins: int = BINS) -> Array:
    """Triangular filters `[bins, window // 2 + 1]`, equally spaced in mel from 0 Hz to half the sample rate."""
    frequencies = np.linspace(0, sample_rate / 2, window // 2 + 1)
    edges = _from_mel(np.linspace(0, _to_mel(sample_rate / 2), bins + 2))
    low, centre, high = (edges[i : i + bins, None] for i in range(3))
    filters = np.minimum((frequencies - low) / (centre - low), (high - frequencies) / (high - centre)).clip(0)
    return np.asarray(filters[filters.sum(1) > 0], dtype=np.float32)


def mel_spectrum(pcm: Array, window: int, sample_rate: int) -> Array:
    """Mel amplitudes `[frames, bins]` of a mono signal `[samples]`, hop a quarter of the window."""
    pcm = np.pad(pcm, (0, max(0, window - len(pcm))))
    return mel_amplitudes(np.lib.stride_tricks.sliding_window_view(pcm, window)[:: window // 4], sample_rate)


def mel_amplitudes(windows: Array, sample_rate: int) -> Array:
    """Mel amplitudes `[any, bins]` of as many pieces of sound `[any, window]`."""
    length = windows.shape[1]
    spectra = np.abs(np.fft.rfft(windows * window_function(length), axis=-1)).astype(np.float32)
    return spectra @ filterbank(length, sample_rate).T


def log_mel_distance(reference: Array, decoded: Array, sample_rate: int) -> float:
    """Mean absolute difference of natural-log mel amplitudes, averaged over the windows; 0 is identity.

    Both signals are mono `[samples]`, of the same length and rate. It means something for any content.
    """
    distances = []
    for window in WINDOWS:
        a, b = (np.log(mel_spectrum(x, window, sample_rate).clip(FLOOR)) for x in (reference, decoded))
        distances.append(float(np.abs(a - b).mean()))
    return float(np.mean(distances))


def _to_mel(frequency: float) -> float:
    return 2595 * float(np.log10(1 + frequency / 700))


def _from_mel(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return 700 * (10 ** (mel / 2595) - 1)
