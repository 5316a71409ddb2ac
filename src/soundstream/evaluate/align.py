"""Undoing a codec's delay, so that samples can be compared."""

from __future__ import annotations

import numpy as np

from soundstream.arrays import Array

MAX_DELAY_S = 0.1


def align(reference: Array, decoded: Array, sample_rate: int) -> tuple[Array, int]:
    """Shift `decoded` to where it fits `reference` best and cut or pad it to the same length.

    The delay is the lag of the highest cross-correlation within 100 ms to either side; both signals are `[samples]`.

    Returns:
        The aligned signal and the delay in samples, positive where `decoded` came late.
    """
    delay = find_delay(reference, decoded, round(MAX_DELAY_S * sample_rate))
    shifted = np.pad(decoded[max(delay, 0) :], (max(-delay, 0), max(0, len(reference))))
    return shifted[: len(reference)], delay


def find_delay(reference: Array, decoded: Array, max_lag: int) -> int:
    """Lag in samples, at most `max_lag` either way, of the highest cross-correlation; 0 when there is none."""
    size = len(reference) + len(decoded) + max_lag
    product = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(reference, size))
    correlation = np.roll(np.fft.irfft(product, size), max_lag)[: 2 * max_lag + 1]
    if correlation.max() <= 1e-9:
        return 0
    return int(correlation.argmax()) - max_lag
