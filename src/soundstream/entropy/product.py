"""Whole-number matrix products at the speed of the machine's float32 library, exact by their bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.bounds import LIMIT, MAX_INPUTS
from soundstream.errors import ConfigError

_EXACT = 1 << 24
_BLOCK = 128
"""Units whose weights lie together, so that the product of a few rows reads few pages of memory at a time."""

Sums = tuple[NDArray[np.float32], NDArray[np.int32]]
"""Room for sums `[blocks, rows, units of a block]` and for results `[rows, units]`."""


class ExactLayer:
    """`weights . inputs + biases >> shift` in whole numbers, with weights `[units, inputs]`, none of them -128.

    A float32 holds every whole number up to 2^24 without error. All products and partial sums here are whole and stay
    below, so that the result is the same for every library, order of summation, thread count and number of rows. Biases
    are weights of one more input, which is 1; where they are too large for that, the numbers are float64, which hold
    whole numbers up to 2^53. Weights are divided by 2^shift before, which changes exponents only: what is then left to
    do is to drop the part behind the point.

    Args:
        weights: int8.
        biases: `[units]`, up to 2^29.
        raised: whether to add one number to all results, so that none is below 0.
    Raises:
        ConfigError: the weights have another type, a value of -128, or too many inputs for the bound.
    """

    def __init__(self, weights: NDArray[np.int8], biases: NDArray[np.int32], shift: int, raised: bool = False) -> None:
        if weights.dtype != np.int8 or weights.ndim != 2 or weights.shape[1] > MAX_INPUTS or (weights < -LIMIT).any():
            raise ConfigError(f"weights are {weights.dtype} {list(weights.shape)}; expected int8 [n, <= {MAX_INPUTS}]")
        self.units, inputs = weights.shape
        largest = LIMIT * np.abs(weights.astype(np.int64)).sum(axis=1)
        steps = ((largest - biases).max() >> shift) + 1 if raised else 0
        added = biases + (np.int64(steps) << shift)
        number = np.float32 if (largest + np.abs(added)).max() < _EXACT else np.float64
        matrix = np.ldexp(np.concatenate([weights.T, added[None]]).astype(number), -shift)
        width = self.units if self.units % _BLOCK else _BLOCK
        self._blocks = np.ascontiguousarray(matrix.reshape(inputs + 1, -1, width).transpose(1, 0, 2))

    def room(self, rows: int) -> Sums:
        """Arrays that a call writes anew."""
        blocks, _, width = self._blocks.shape
        return np.zeros((blocks, rows, width), np.float32), np.zeros((rows, self.units), np.int32)

    def __call__(self, inputs: NDArray[np.float32], room: Sums) -> NDArray[np.int32]:
        """Results `[rows, units]`, a part of the room; for those below 0 any number that is not above 0.

        Args:
            inputs: whole numbers from -127 to 127, then a column of ones `[rows, inputs + 1]`.
        """
        sums, out = room
        found = np.matmul(inputs, self._blocks, out=sums if self._blocks.dtype == sums.dtype else None)
        by_block = out.reshape(len(out), len(found), found.shape[2]).transpose(1, 0, 2)
        np.copyto(by_block, found, casting="unsafe")
        return out
