"""Where codes stand: codebooks of several sizes and strides in one array `[channels, num_quantizers, frames]`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Cells = NDArray[np.bool_]
"""Where a code stands `[frames, num_quantizers, channels]`, which is the order of entropy coding."""
Shape = tuple[int, int, int]
"""Channels, num_quantizers, frames."""
Stack = Sequence[tuple[int, int]]
"""Bits of a plain code and frames that it covers, by codebook; none where all are alike, with a code a frame."""
Counts = NDArray[np.int64]
"""Codebooks that each frame has, from the first on `[channels, frames]`."""
ABSENT = -1
"""Stands in the place of a code that a frame does not have."""


class Grid:
    """Sizes and strides of codebooks. A code stands in the first of the frames that it covers, and counts in all.

    Args:
        codebook_bits: bits of a plain code, where there is no stack.
        stack: of all codebooks that there are; fewer may be in use.
    """

    def __init__(self, codebook_bits: int, stack: Stack = ()) -> None:
        self._codebook_bits = codebook_bits
        self._bits, self._strides = np.array(stack, np.int64).reshape(-1, 2).T
        self.is_plain = not stack
        """Whether all codebooks are alike, with a code in every frame."""
        self.is_strided = bool((self._strides > 1).any())

    def bits(self, num_quantizers: int) -> NDArray[np.int64]:
        """Bits of a plain code of the first codebooks `[num_quantizers]`."""
        return np.full(num_quantizers, self._codebook_bits) if self.is_plain else self._bits[:num_quantizers]

    def sizes(self, num_quantizers: int) -> NDArray[np.int64]:
        """Entries of the first codebooks `[num_quantizers]`."""
        return 1 << self.bits(num_quantizers)

    def strides(self, num_quantizers: int) -> NDArray[np.int64]:
        """Frames that a code of the first codebooks covers `[num_quantizers]`."""
        return np.ones(num_quantizers, np.int64) if self.is_plain else self._strides[:num_quantizers]

    def stride(self, q: int) -> int:
        """Frames that a code of codebook q covers."""
        return 1 if self.is_plain else int(self._strides[q])

    @property
    def granule(self) -> int:
        """Frames that codes of all codebooks cover together."""
        return math.lcm(*self._strides.tolist())

    def cells(self, shape: Shape, counts: Counts | None = None) -> Cells:
        """Where codes of this shape stand.

        The frames must be whole codes: `check_whole`.

        Args:
            counts: of codebooks without strides; None is all codebooks in all frames.
        """
        channels, num_quantizers, frames = shape
        if counts is not None:
            return np.arange(num_quantizers)[:, None] < counts.T[:, None]
        if not self.is_strided:
            return np.ones((frames, num_quantizers, channels), bool)
        stands = np.arange(frames)[:, None] % self.strides(num_quantizers) == 0
        return np.repeat(stands[..., None], channels, axis=2)

    def check_whole(self, shape: Shape, error: type[Exception]) -> None:
        """Refuse frames that the codes of a codebook do not cover evenly, by an error of that type."""
        strides = self.strides(shape[1])
        if (shape[2] % strides).any():
            raise error(f"there are {shape[2]} frames; expected whole codes, which cover {max(strides)}")

    def counts(self, codes: Codes) -> Counts | None:
        """How many codebooks each frame of codes `[channels, num_quantizers, frames]` has; None is all of them."""
        return None if self.is_strided or not (codes < 0).any() else (codes >= 0).sum(axis=1)

    def repeated(self, codes: Codes) -> Codes:
        """Codes `[frames, num_quantizers, ...]` that stand in their first frames, in all frames that they cover."""
        if not self.is_strided:
            return codes
        frames, num_quantizers = codes.shape[:2]
        frame = np.arange(frames)[:, None]
        return codes[frame - frame % self.strides(num_quantizers), np.arange(num_quantizers)]
