"""Random room impulse responses: a direct path, then noise that decays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Complex64, Float64
from numpy.typing import NDArray

GAP_S = 0.002
"""Time between the direct path and the first reflection."""


def room_spectra(
    rng: np.random.Generator,
    rt60_s: NDArray[np.float64],
    direct_db: NDArray[np.float64],
    length: int,
    sample_rate: int,
) -> Complex64[np.ndarray, "rooms frequencies"]:
    """What rooms do to crops of `length` samples: factors for their `rfft`, as reverberation that wraps around.

    A crop so begins within the reverberation of what was before, as if that had been its own end. The direct path is
    not delayed and the response has an energy of 1, so that speech keeps its time and about its level.

    Args:
        rt60_s: `[rooms]`, seconds in which the reverberation falls by 60 dB.
        direct_db: `[rooms]`, energy of the direct path over that of all reflections.
    Source: the decaying noise of Moorer (1979), "About this reverberation business".
    """
    tails = np.stack([_tail(rng, seconds, length, sample_rate) for seconds in rt60_s])
    tails *= 10 ** (-direct_db[:, None] / 20) / np.linalg.norm(tails, axis=1, keepdims=True)
    tails[:, 0] += 1
    tails /= np.linalg.norm(tails, axis=1, keepdims=True)
    return np.fft.rfft(tails).astype(np.complex64)


def _tail(rng: np.random.Generator, rt60_s: float, length: int, sample_rate: int) -> Float64[np.ndarray, " samples"]:
    """The reflections until they are 60 dB down, folded to `length` samples."""
    time_s = np.arange(max(1, round(rt60_s * sample_rate))) / sample_rate
    tail = rng.normal(size=len(time_s)) * 10 ** (-3 * time_s / rt60_s)
    tail = np.concatenate([np.zeros(round(GAP_S * sample_rate)), tail])
    return np.pad(tail, (0, -len(tail) % length)).reshape(-1, length).sum(axis=0)
