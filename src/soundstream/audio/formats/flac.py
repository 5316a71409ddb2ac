"""FLAC: where streams that were joined begin, and where the last whole frame of each ends.

The count of samples at the start may be missing or wrong, and behind the last frame may lie tags, zeros or half a
frame, at which libFLAC gives up together with what it decoded before. The last frame's header says where it stands.

Source: RFC 9639, sections 8 and 9.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from soundstream.audio.formats.tags import after_tags, before_tags
from soundstream.audio.formats.views import Bytes, Gap, Part

MAGIC = b"fLaC"
_START = MAGIC + b"\x00\x00\x00\x22"
_HEAD = 42
"""Bytes of magic, block header and STREAMINFO."""
_FRAME = re.compile(rb"\xff[\xf8\xf9][\x10-\xff][\x00-\xaf]")
_MAX_HEADER = 16
_MAX_FRAME = 1 << 17
"""Bytes that a frame is thought to have at most where nothing says it."""
_CHECKS = 3
"""How many of the last frames are tried whether they are whole; what looks like a frame and is none is rare."""
_BLOCK = 1 << 20
_SAMPLES = {1: 192, **{2 + i: 576 << i for i in range(4)}, **{8 + i: 256 << i for i in range(8)}}
"""Of a frame, by their code in its header; 6 and 7 are followed by the number."""
_RATE_BYTES = {12: 1, 13: 2, 14: 2}
"""Bytes of the sample rate in a header, by its code."""


class _Frame(NamedTuple):
    start: int
    first: int
    """Place of its first sample."""
    samples: int

    @property
    def behind(self) -> int:
        """Place of the next frame's first sample."""
        return self.first + self.samples


class _StreamInfo(NamedTuple):
    block_samples: int
    longest: int
    """Bytes of a frame."""
    sample_rate: int
    channels: int
    samples: int
    """0 if it does not say."""

    @classmethod
    def of(cls, head: bytes) -> _StreamInfo:
        rate, total = int.from_bytes(head[18:22]) >> 12, int.from_bytes(head[21:26]) & (1 << 36) - 1
        longest = int.from_bytes(head[15:18]) or _MAX_FRAME
        return cls(int.from_bytes(head[10:12]), longest, max(1, rate), (head[20] >> 1 & 7) + 1, total)


def with_total(head: bytes, samples: int) -> bytes:
    """The start of a FLAC file, from its magic on, with another count of samples; 0 is unknown."""
    return head[:21] + bytes([head[21] & 0xF0 | samples >> 32 & 0xF]) + (samples & 0xFFFF_FFFF).to_bytes(4) + head[26:]


def find(file: BinaryIO, start: int, end: int, others: Collection[bytes] = ()) -> list[Part] | None:
    """The streams of a FLAC file, which is one unless several were joined.

    Args:
        others: what sounds of other formats begin with, which end these where they were joined.
    Returns:
        None if its start is not as it should be.
    """
    data = Bytes(file, before_tags(file, start, end))
    starts = [*_starts(data, start)]
    ends = [_before_next(file, data, first, behind) for first, behind in pairwise([*starts, data.end])]
    parts, strangers = list[Part](), (*others, b"ID3")
    for first, behind in zip(starts, ends, strict=True):
        last, stop = _last(data, first + _HEAD, behind, _StreamInfo.of(data.at(first, _HEAD)), strangers)
        parts.append(_part(data, first, behind, last, stop))
        if stop and stop < behind:  # what follows is for others to read
            break
    return parts or None


def _starts(data: Bytes, position: int) -> Iterator[int]:
    while block := data.at(position, _BLOCK):
        found = block.find(_START)
        if found >= 0:
            yield position + found
        position += found + 1 if found >= 0 else max(1, len(block) - len(_START) + 1)


def _before_next(file: BinaryIO, data: Bytes, first: int, behind: int) -> int:
    """Where a stream ends: before the tag in front of the next one, and before its own."""
    end = behind
    while end > first and behind < data.end:
        start = max(first, end - _BLOCK)
        found = data.at(start, end - start).rfind(b"ID3")
        if found >= 0 and after_tags(file, start + found, behind) == behind:
            behind = start + found
            break
        end = start + found if found >= 0 else start if start == first else start + 2
    return before_tags(file, first, behind)


def _part(data: Bytes, start: int, end: int, last: _Frame | None, stop: int) -> Part:
    """A stream; the arguments are those of `_last`, and what it found."""
    head = data.at(start, _HEAD)
    info = _StreamInfo.of(head)
    if last is None:
        return Part(((start, end),))
    samples, end = (last.behind, stop) if stop else (last.first, last.start)
    gaps = []
    if info.samples > samples or not stop:
        missing = (info.samples - samples) / info.sample_rate if info.samples > samples else None
        gaps.append(Gap("it is cut short" if stop else "it ends inside a frame", None, missing))
    return Part((with_total(head, samples), (start + _HEAD, end)), samples=samples, gaps=tuple(gaps))


def _last(
    data: Bytes, start: int, end: int, info: _StreamInfo, strangers: Collection[bytes]
) -> tuple[_Frame | None, int]:
    """The last frame that begins between two places, and where it ends: at the second, before a stranger, or 0."""
    last: _Frame | None = None
    behind: _Frame | None = None
    for count, frame in enumerate(_frames_from_end(data, start, end, info)):
        size = end - frame.start
        if count < _CHECKS and size <= info.longest and not _crc16(data.at(frame.start, size)):
            return frame, end
        if behind and frame.behind == behind.first:  # bytes that only look like a frame have no neighbour
            last = last or behind
        behind = frame
        if last and last.start - frame.start > _BLOCK:
            break
    return last, _before_stranger(data, last, info, strangers) if last else 0


def _before_stranger(data: Bytes, frame: _Frame, info: _StreamInfo, strangers: Collection[bytes]) -> int:
    """Where a frame ends if something of another format begins there; 0 if it does not."""
    body = data.at(frame.start, info.longest + _MAX_HEADER)
    found = re.finditer(b"|".join(map(re.escape, strangers)), body)
    return next((frame.start + one.start() for one in found if not _crc16(body[: one.start()])), 0)


def _frames_from_end(data: Bytes, start: int, end: int, info: _StreamInfo) -> Iterator[_Frame]:
    while end > start:
        block_start = max(start, end - _BLOCK)
        block = data.at(block_start, end - block_start + _MAX_HEADER)
        for found in reversed([*_FRAME.finditer(block, 0, end - block_start + 3)]):
            if frame := _frame(block[found.start() : found.start() + _MAX_HEADER], block_start + found.start(), info):
                yield frame
        end = block_start


def _frame(head: bytes, start: int, info: _StreamInfo) -> _Frame | None:
    """A frame by its header; None if the bytes are none, or of another stream."""
    channels = min(head[3] >> 4, 8)
    number, size = _number(head[4:])
    code, rate = head[2] >> 4, head[2] & 15
    extra = max(0, code - 5) if code < 8 else 0
    length = 4 + size + extra + _RATE_BYTES.get(rate, 0)
    if not size or head[3] & 1 or rate == 15 or info.channels != (2 if channels == 8 else channels + 1):
        return None
    if len(head) <= length or _crc8(head[: length + 1]):
        return None
    samples = int.from_bytes(head[4 + size : 4 + size + extra]) + 1 if extra else _SAMPLES[code]
    return _Frame(start, number if head[1] & 1 else number * info.block_samples, samples)


def _number(data: bytes) -> tuple[int, int]:
    """A number coded as UTF-8 does it, and its bytes; 0 bytes if it is none."""
    ones = f"{data[0]:08b}".find("0") if data and data[0] < 0xFF else 8
    if not ones:
        return data[0], 1
    if ones in (1, 8) or len(data) < ones or any(byte >> 6 != 2 for byte in data[1:ones]):
        return 0, 0
    number = data[0] & (0x7F >> ones)
    for byte in data[1:ones]:
        number = number << 6 | byte & 0x3F
    return number, ones


@cache
def _table(polynomial: int, bits: int) -> list[int]:
    """Remainders of a CRC, high bit first, by byte."""
    table = []
    for byte in range(256):
        remainder = byte << bits - 8
        for _ in range(8):
            remainder = (remainder << 1) ^ (polynomial if remainder >> bits - 1 else 0)
        table.append(remainder & (1 << bits) - 1)
    return table


def _crc8(data: bytes) -> int:
    remainder, table = 0, _table(0x107, 8)
    for byte in data:
        remainder = table[remainder ^ byte]
    return remainder


def _crc16(data: bytes) -> int:
    remainder, table = 0, _table(0x18005, 16)
    for byte in data:
        remainder = (remainder << 8 & 0xFF00) ^ table[remainder >> 8 ^ byte]
    return remainder
