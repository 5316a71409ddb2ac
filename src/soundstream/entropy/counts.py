"""How many codebooks each frame has, to bytes and back: whole numbers, with frequencies that follow from those before.

Counts are coded stream after stream, in a stream frame after frame. A count weighs 1, and 1 more for each time that it
came in the stream. That of the frame before, one less and one more each weigh 4 more, and 2 more for each time that
such a step was taken in the stream.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy import ans
from soundstream.entropy.bounds import TOTAL
from soundstream.entropy.grid import Counts

_SEEN, _NEAR, _STEP = 1, 4, 2


class _Expected:
    """Frequencies of the counts 1 to `max_count` in one stream, as they come."""

    def __init__(self, max_count: int) -> None:
        self._max_count, self._last = max_count, -1
        self._seen = np.ones(max_count + 2, np.int64)
        """With a place to either side, which no count has."""
        self._steps = np.full(3, _NEAR)
        """One down, none, one up."""

    def below(self) -> NDArray[np.int64]:
        """Sum of the frequencies below each count, and below the end `[max_count + 1]`."""
        weights = self._seen.copy()
        if self._last >= 0:
            weights[self._last : self._last + 3] += self._steps
        weights = weights[1:-1]
        widths = 1 + (TOTAL - self._max_count) * weights // weights.sum()
        widths[weights.argmax()] += TOTAL - widths.sum()
        return np.concatenate([[0], widths.cumsum()])

    def push(self, count: int) -> None:
        """Take the next frame's count, less 1."""
        if self._last >= 0 and abs(count - self._last) <= 1:
            self._steps[count - self._last + 1] += _STEP
        self._seen[count + 1] += _SEEN
        self._last = count


def encode_counts(counts: Counts, most: int) -> bytes:
    """Bytes of counts `[streams, frames]` of 1 to `most` codebooks."""
    starts, widths = [], []
    for stream in (counts - 1).tolist():
        expected = _Expected(most)
        for count in stream:
            below = expected.below()
            starts.append(int(below[count]))
            widths.append(int(below[count + 1] - below[count]))
            expected.push(count)
    return ans.encode(starts, widths, _checksum(counts))


def decode_counts(payload: bytes, streams: int, most: int, frames: int) -> Counts:
    """Inverse of `encode_counts`.

    Raises:
        CodesMismatch: the bytes do not end as those of counts must.
    """
    decoder, counts = ans.Decoder(payload), np.zeros((streams, frames), np.int64)
    for stream in counts:
        expected = _Expected(most)
        for frame in range(frames):
            below = expected.below()
            count = int(below.searchsorted(decoder.slot, side="right")) - 1
            decoder.take(int(below[count]), int(below[count + 1] - below[count]))
            expected.push(count)
            stream[frame] = count + 1
    decoder.finish(_checksum(counts))
    return counts


def _checksum(counts: Counts) -> int:
    return zlib.crc32(counts.astype(np.uint8).tobytes()) & 0xFFFF
