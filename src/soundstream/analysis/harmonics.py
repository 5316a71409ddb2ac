"""Harmonic correlation: whether the single lines of a spectrum come back, or only its level.

The logarithm of the magnitude spectrum less its mean over 410 Hz holds the lines of a voice and none of its timbre. The
measure is the correlation of this residual between original and decoded sound: 1 keeps every harmonic, 0 none, however
well the level of each band fits.

Magnitudes are divided by the sum of the window and `FLOOR` is added before the logarithm, so that what lies 80 dB below
full scale does not count. Window and hop follow the sample rate: the lines of all rates are equally far apart.

Source: ours; distances of mel spectra and of levels do not see what it measures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BANDS_HZ = ((300, 1500), (1500, 3000), (3000, 5000))
"""Ends of the bands that are measured: pitch and first formant of a voice, its second and third, and what is above."""
NAMES = ("low", "middle", "high")
"""Of the bands."""
REFERENCE_RATE = 24_000
"""Hz at which the window has `WINDOW` samples."""
WINDOW, HOP = 2048, 512
SMOOTHED_BINS = 35
"""Bins that the spectrum is smoothed over to find its envelope: 410 Hz."""
FLOOR = 1e-4
SHARE_OF_FRAMES = 0.4
"""Frames that count in a band: those in which the original's residual varies most."""
MIN_VARIANCE = 1e-6
"""Variance of a residual below which there is no line in it."""

Array = NDArray[np.floating]
Bands = tuple[float, float, float]


def harmonic_correlation(reference: Array, decoded: Array, sample_rate: int) -> Bands:
    """Correlation of the lines of two spectra in each of `BANDS_HZ`; 1 is identity.

    Both signals are mono `[samples]`, in step and of the same length and rate. It means something for voices and tones.
    A band is nan where it has no answer: above half the sample rate, or in a reference that is silent there or shorter
    than a window of 85 ms. It is 0 where only the decoded sound has no line.
    """
    window, hop = window_and_hop(sample_rate)
    if len(reference) < window:
        return np.nan, np.nan, np.nan
    original, coded = (_residual(pcm, window, hop) for pcm in (reference, decoded))
    low, middle, high = (_correlation(original, coded, band_bins(band, window, sample_rate)) for band in BANDS_HZ)
    return low, middle, high


def window_and_hop(sample_rate: int) -> tuple[int, int]:
    """Both in samples."""
    return round(WINDOW * sample_rate / REFERENCE_RATE), round(HOP * sample_rate / REFERENCE_RATE)


def _residual(pcm: Array, window: int, hop: int) -> Array:
    """Log magnitudes `[frames, window // 2 + 1]` less their moving mean over the frequencies."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(pcm, np.float64), window)[::hop]
    spectrum = np.log(np.abs(np.fft.rfft(frames * hann / hann.sum())) + FLOOR)
    return spectrum - _moving_mean(spectrum)


def _moving_mean(spectrum: Array) -> Array:
    """Mean of each bin and its neighbours; at the ends the outermost bin is repeated."""
    padded = np.pad(spectrum, ((0, 0), (SMOOTHED_BINS // 2 + 1, SMOOTHED_BINS // 2)), mode="edge")
    sums = np.cumsum(padded, axis=1)
    return (sums[:, SMOOTHED_BINS:] - sums[:, :-SMOOTHED_BINS]) / SMOOTHED_BINS


def band_bins(band: tuple[int, int], window: int, sample_rate: int) -> slice:
    """Bins from the lower end of a band to below its upper one; none if the band is not whole."""
    if band[1] > sample_rate / 2:
        return slice(0)
    low, high = (int(np.ceil(hertz * window / sample_rate)) for hertz in band)
    return slice(low, high)


def _correlation(original: Array, coded: Array, bins: slice) -> float:
    original, coded = original[:, bins], coded[:, bins]
    if not original.size:
        return np.nan
    variances = original.var(axis=1)
    count = max(1, round(SHARE_OF_FRAMES * len(variances)))
    chosen = np.argsort(-variances, kind="stable")[:count]
    pair = original[chosen], coded[chosen]
    if pair[0].var() < MIN_VARIANCE:
        return np.nan
    return float(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1]) if pair[1].var() >= MIN_VARIANCE else 0.0
