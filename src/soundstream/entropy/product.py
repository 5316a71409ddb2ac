"""Whole-number matrix products at the speed of the machine's float32 library, exact by their bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundstream.errors import ConfigError

LIMIT = 127
"""Largest magnitude of a weight and of an input."""
MOST_INPUTS = (1 << 24) // LIMIT**2
"""Terms of a sum that stays a whole number below 2^24 whatever the order of its additions: 1,040."""


class ExactProduct:
    """A product with weights `[outputs, inputs]` of type int8, none of them -128.

    A float32 holds every whole number up to 2^24 without error. All products and partial sums here are whole and stay
    below, so that the result is the same for every library, order of summation, thread count and number of rows.

    Raises:
        ConfigError: the weights have another type, a value of -128, or too many inputs for the bound.
    """

    def __init__(self, weights: NDArray[np.int8]) -> None:
        if weights.dtype != np.int8 or weights.ndim != 2 or weights.shape[1] > MOST_INPUTS or (weights < -LIMIT).any():
            raise ConfigError(f"weights are {weights.dtype} {list(weights.shape)}; expected int8 [n, <= {MOST_INPUTS}]")
        self._weights = np.ascontiguousarray(weights.T, dtype=np.float32)

    def __call__(self, inputs: NDArray[np.int8]) -> NDArray[np.int32]:
        """`[rows, outputs]` of inputs `[rows, inputs]`, which lie from -127 to 127."""
        assert inputs.dtype == np.int8
        return (inputs.astype(np.float32) @ self._weights).astype(np.int32)
