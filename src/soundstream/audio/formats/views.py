"""Stretches of a file, shown to a decoder as a file of their own, and what is known to be missing from them."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO

Piece = bytes | tuple[int, int]
"""Bytes that are not in the file, or start and end of a stretch of it."""

_BLOCK = 1 << 20
_MIN_S = 1 / 8000
"""Seconds that are worth a word: half a sample at the end of a file is not."""


@dataclass(frozen=True)
class Gap:
    """Sound that is missing from a stream, or may be; nothing else is known where no number is given."""

    reason: str
    at_s: float | None = None
    """Seconds from the start; None is the end of what is there."""
    missing_s: float | None = None
    """Seconds."""
    expected_s: float | None = None
    """Seconds that there should be in all."""
    declared: float | None = None
    """The same as a multiple of what is there."""

    def __str__(self) -> str:
        missing = "sound may be missing" if self.missing_s is None else f"{self.missing_s:.2f} s are missing"
        return f"{missing} behind {self.at_s or 0:.2f} s: {self.reason}"

    def placed(self, start_s: float, length_s: float) -> Gap | None:
        """The same in a file where the stream begins at `start_s`, and how much is missing where `length_s` is there.

        Returns:
            None if nothing is.
        """
        at_s = start_s + (length_s if self.at_s is None else self.at_s)
        expected_s = self.expected_s if self.declared is None else self.declared * length_s or None
        missing_s = self.missing_s if expected_s is None else expected_s - length_s
        return None if missing_s is not None and missing_s < _MIN_S else Gap(self.reason, at_s, missing_s)


@dataclass(frozen=True)
class Part:
    """A stream that one decoder reads from its start to its end; a file is one of them, or several joined."""

    pieces: tuple[Piece, ...]
    overstated: int = 0
    """Bytes that it claims to have beyond its own; see `View`."""
    skip: int = 0
    """Samples at the start that an encoder added."""
    samples: int | None = None
    """Samples after these; None where the decoder says it, or nobody."""
    trusted: bool = True
    """Whether the length that the decoder says is right."""
    gaps: tuple[Gap, ...] = ()
    order: tuple[int, ...] = ()
    """Places of the channels in the order of WAV; none if they have it."""


class Bytes:
    """Bytes of a file by their place, a block in memory at a time.

    Args:
        end: what lies behind is not there.
    """

    def __init__(self, file: BinaryIO, end: int = sys.maxsize) -> None:
        self._file = file
        self.end = end
        self._start = 0
        self._block = b""

    def at(self, position: int, size: int) -> bytes:
        """The bytes from a place on, fewer at the end."""
        offset = position - self._start
        if offset < 0 or offset + size > len(self._block):
            self._fill(position, size)
            offset = 0
        return self._block[offset : offset + size]

    def is_blank(self, start: int, end: int) -> bool:
        """Whether there is nothing but zeros between two places."""
        return not any(self.at(at, min(_BLOCK, end - at)).strip(b"\0") for at in range(start, end, _BLOCK))

    def _fill(self, position: int, size: int) -> None:
        self._file.seek(position)
        self._start, self._block = position, self._file.read(max(0, min(max(size, _BLOCK), self.end - position)))


class View:
    """Pieces of a file, and bytes that are not in it, one after another as a file to read.

    Args:
        overstated: how many bytes more it claims to have. They end reading as the end of a file does, except for the
            last 128: these are zeros, where libsndfile looks for a tag. It takes the length of MP3 from the number of
            bytes, wrongly where the rate varies, and stops there.
    """

    def __init__(self, file: BinaryIO, pieces: Sequence[Piece], overstated: int = 0) -> None:
        self._bytes = Bytes(file)
        self._pieces = pieces
        lengths = (len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces)
        self._starts = [0, *accumulate(lengths)]
        self._claimed = self._starts[-1] + overstated
        self._position = 0
        self._error: OSError | None = None

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = max(0, offset + (0, self._position, self._claimed)[whence])
        return self._position

    def check(self) -> None:
        """Raise the error of a read that failed, which a decoder takes for the end of the file."""
        if self._error:
            raise self._error

    def read(self, size: int = -1) -> bytes:
        try:
            return self._read(self._claimed if size < 0 else size)
        except OSError as error:
            self._error = error
            return b""

    def _read(self, size: int) -> bytes:
        data = self._read_piece(size)
        while len(data) < size and (more := self._read_piece(size - len(data))):
            data += more
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _read_piece(self, size: int) -> bytes:
        if self._position >= self._starts[-1]:
            left = self._claimed - self._position
            data = bytes(max(0, min(size, left))) if left <= 128 else b""
        else:
            index = bisect_right(self._starts, self._position) - 1
            piece, offset = self._pieces[index], self._position - self._starts[index]
            if isinstance(piece, bytes):
                data = piece[offset : offset + size]
            else:
                data = self._bytes.at(piece[0] + offset, min(size, piece[1] - piece[0] - offset))
        self._position += len(data)
        return data


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same stretches with those made one that touch."""
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and merged[-1][1] == start:
            start, _ = merged.pop()
        merged.append((start, end))
    return merged
