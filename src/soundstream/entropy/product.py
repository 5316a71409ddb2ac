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

    def __call__(self, inputs: NDArray[np.float32], sums: NDArray[np.float32], out: NDArray[np.int32]) -> None:
        """Put the product of inputs `[rows, inputs]`, whole numbers from -127 to 127, into `out` `[rows, outputs]`.

        Args:
            sums: room for the same numbers before they change their type `[rows, outputs]`.
        """
        np.dot(inputs, self._weights, out=sums)
        np.copyto(out, sums, casting="unsafe")
