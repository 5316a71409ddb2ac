"""What counts kept across a file would save: rivals of the context model, which starts afresh with every packet."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Codes
from soundstream.entropy.bounds import TOTAL
from soundstream.entropy.context import ContextModel, contexts
from soundstream.entropy.frequencies import frequencies
from soundstream.entropy.tables import Tables

Array = NDArray[np.float64]

PRIOR = 3000.0
"""Codes that the fixed frequencies count as; least bits among powers of ten and thrice those, on validation audio."""


def adaptive_bits(parts: Iterable[Codes], tables: Tables, model: ContextModel) -> tuple[float, float]:
    """Bits of packets in the order of their file, by an ideal coder with counts, and with counts and context.

    Counts start as the fixed frequencies and grow with every code. With context, the context model's probability of a
    code is multiplied by the root of what counts say over what fixed frequencies do; the whole ratio is worse.

    Args:
        parts: `[1, num_quantizers, frames]` each.
    """
    fixed = tables.static / TOTAL
    seen, alone, mixed = np.zeros(fixed.shape), 0.0, 0.0
    for part in parts:
        for q, known in enumerate(contexts(model.vectors, model.shifts, part)):
            codes = part[0, q]
            counted = _counted(seen[q], codes, fixed[q])
            context = frequencies(model.logits(known, q), tables.exponentials) * np.sqrt(counted / fixed[q])
            alone += _information(counted, codes)
            mixed += _information(context / context.sum(axis=1, keepdims=True), codes)
            seen[q] += np.bincount(codes, minlength=len(seen[q]))
    return alone, mixed


def _counted(seen: Array, codes: Codes, fixed: Array) -> Array:
    """Probabilities `[frames, codebook_size]` by the counts before each frame."""
    one_hot = (codes[:, None] == np.arange(len(seen))).astype(np.float64)
    before = seen + one_hot.cumsum(axis=0) - one_hot
    return (PRIOR * fixed + before) / (PRIOR + before.sum(axis=1, keepdims=True))


def _information(probabilities: Array, codes: Codes) -> float:
    return float(-np.log2(probabilities[np.arange(len(codes)), codes]).sum())
