"""Integer logits to integer frequencies, with tables and whole numbers only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.ans import TOTAL

Integers = NDArray[np.int64]

WEIGHT_BITS = 16
_SCALE_BITS = 20
LOGIT_UNITS = 32
"""Logits count in this part of a factor e."""


def exponentials() -> NDArray[np.int32]:
    """Table of 2^16 exp(-d / LOGIT_UNITS), rounded, up to its first zero; a fit stores it, a coder only reads it."""
    steps = np.arange(LOGIT_UNITS * 13)
    return np.rint(2.0**WEIGHT_BITS * np.exp(-steps / LOGIT_UNITS)).astype(np.int32)


def frequencies(logits: NDArray[np.int32], table: NDArray[np.int32]) -> Integers:
    """Frequencies `[rows, symbols]`, each at least 1, that add up to TOTAL in every row.

    What rounding leaves over goes to the largest logit, the first of equals.

    Args:
        logits: `[rows, symbols]`, at most TOTAL / 2 symbols.
        table: 2^16 exp(-d) for each distance d from the largest logit; what lies beyond counts as its last entry.
    """
    largest = logits.argmax(axis=1)
    rows = np.arange(len(logits))
    below = logits[rows, largest][:, None] - logits
    weights = table[np.minimum(below, len(table) - 1)].astype(np.int64)
    scale = ((TOTAL - logits.shape[1]) << _SCALE_BITS) // weights.sum(axis=1, keepdims=True)
    result = (weights * scale >> _SCALE_BITS) + 1
    result[rows, largest] += TOTAL - result.sum(axis=1)
    return result
