"""Means over clips with what they are worth: standard errors, differences clip by clip, and the number of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mean:
    """A mean over clips."""

    mean: float
    standard_error: float | None
    """Standard deviation over the clips / sqrt(n); None for a single clip."""
    n: int


def mean_of(values: Sequence[float]) -> Mean | None:
    """Mean, standard error and number of the values; None when there are none."""
    if not values:
        return None
    n = len(values)
    error = float(np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else None
    return Mean(float(np.mean(values)), error, n)


def paired_difference(values: Mapping[str, float], baseline: Mapping[str, float]) -> Mean | None:
    """Mean over the clips that both have of value minus baseline; each mapping goes from clip to value.

    The error is that of the differences: what makes a clip easy or hard for both codecs cancels.
    """
    shared = sorted(values.keys() & baseline.keys())
    return mean_of([values[clip] - baseline[clip] for clip in shared])
