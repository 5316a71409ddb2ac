"""Integer logits to integer frequencies, with tables and whole numbers only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.bounds import TOTAL

Integers = NDArray[np.int64]

WEIGHT_BITS = 16
_SCALE_BITS = 20
_SCALE_SHIFT = np.array(_SCALE_BITS)
_ONE = np.array(1)
"""Arrays, since NumPy takes Python's numbers at thrice the cost of a small step."""
LOGIT_UNITS = 32
"""Logits count in this part of a factor e."""


def exponentials() -> NDArray[np.int32]:
    """Table of 2^16 exp(-d / LOGIT_UNITS), rounded, up to its first zero; a fit stores it, a coder only reads it."""
    steps = np.arange(LOGIT_UNITS * 13)
    return np.rint(2.0**WEIGHT_BITS * np.exp(-steps / LOGIT_UNITS)).astype(np.int32)


def frequencies(
    logits: NDArray[np.int32], table: NDArray[np.integer], below: Integers | None = None, out: Integers | None = None
) -> Integers:
    """Frequencies `[rows, symbols]`, each at least 1, that add up to TOTAL in every row.

    What rounding leaves over goes to the largest logit, the first of equals.

    Args:
        logits: `[rows, symbols]`, at most TOTAL / 2 symbols.
        table: 2^16 exp(-d) for each distance d from the largest logit; what lies beyond counts as its last entry.
        below: room for the distances `[rows, symbols]`; None makes some.
        out: room for the result; None makes some.
    """
    size = logits.shape[1]
    largest = logits.argmax(axis=1)
    largest += np.arange(0, logits.size, size)
    distances = np.subtract(logits.reshape(-1).take(largest)[:, None], logits, out=below)
    result = table.astype(np.int64, copy=False).take(distances, mode="clip", out=out)
    scale = ((TOTAL - size) << _SCALE_BITS) // np.add.reduce(result, axis=1, keepdims=True)
    np.multiply(result, scale, out=result)
    np.right_shift(result, _SCALE_SHIFT, out=result)
    np.add(result, _ONE, out=result)
    result.reshape(-1)[largest] += TOTAL - np.add.reduce(result, axis=1)
    return result
