"""The arithmetic decoder of `.ecdc` files that EnCodec's language model coded: bytes and tables to codes.

The coder keeps a range `low..high` of whole numbers. Before each code it is doubled to at least 2^24, which takes a bit
from the file each time; the code's share of its table cuts a part out; leading bits that both ends share are let go. A
segment ends with all bits of `low`. So its end says whether all of it was decoded as it was coded: the bits that were
taken must be those of `low` itself.

Source: facebookresearch/encodec, `encodec/quantization/ac.py`; here in whole numbers alone, which gives the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundstream.errors import CodesMismatch, Truncated

TOTAL_BITS = 24
"""Of what the entries of a table add up to, at most."""
OUT_OF_STEP = (
    "the bytes of the .ecdc file do not fit the probabilities that the language model gives here: the file is damaged, "
    "other weights coded it, or another machine, release of PyTorch or number of threads, which rounds them otherwise; "
    "try the writer's number of threads, OMP_NUM_THREADS=N, or decode it where it was made"
)


class ArithmeticDecoder:
    """Codes of one segment, in turn.

    Args:
        data: from the segment's first byte on; what is behind the segment is not looked at.
    """

    def __init__(self, data: memoryview) -> None:
        self._data, self._taken = data, 0
        self._low = self._high = self._current = 0

    def pull(self, ends: NDArray[np.int64]) -> int:
        """The next code.

        Args:
            ends: where the share of each code ends, and that of the next begins, `[entries]`, rising to 2^24 or less.
        Raises:
            Truncated: the bytes end.
            CodesMismatch: no code has what they say.
        """
        self._fill()
        width = self._high - self._low + 1
        code = int(np.searchsorted(ends, (self._current - self._low << TOTAL_BITS) // width, side="right"))
        if code == len(ends):
            raise CodesMismatch(OUT_OF_STEP)
        start, end = int(ends[code - 1]) if code else 0, int(ends[code])
        self._high = self._low + ((end - 1) * width >> TOTAL_BITS)
        self._low += -(-start * width >> TOTAL_BITS)
        if self._current > self._high:
            raise CodesMismatch(OUT_OF_STEP)
        self._let_go()
        return code

    def finish(self) -> int:
        """Bytes of the segment, all of whose codes were pulled.

        Raises:
            CodesMismatch: it does not end as the codes must.
        """
        length = -(-self._taken // 8)
        rest = self._data[length - 1] >> (self._taken - 1) % 8 + 1 if length else 0
        if self._current != self._low or rest:
            raise CodesMismatch(OUT_OF_STEP)
        return length

    def _fill(self) -> None:
        while self._high - self._low + 1 < 1 << TOTAL_BITS:
            self._low, self._high = 2 * self._low, 2 * self._high + 1
            self._current = 2 * self._current + self._bit()

    def _bit(self) -> int:
        place, shift = divmod(self._taken, 8)
        if place >= len(self._data):
            raise Truncated(f"the .ecdc file ends before its last code; or {OUT_OF_STEP}")
        self._taken += 1
        return self._data[place] >> shift & 1

    def _let_go(self) -> None:
        """Take away the leading bits that both ends share, and with them what is between."""
        kept = (1 << (self._low ^ self._high).bit_length()) - 1
        self._low, self._high, self._current = (end & kept for end in (self._low, self._high, self._current))
