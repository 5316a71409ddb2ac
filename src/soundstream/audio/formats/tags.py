"""Tags that lie before or behind the sound of a file: ID3, APE, Lyrics3; pictures are in them."""

from __future__ import annotations

import struct
from typing import BinaryIO

_ID3V1, _ID3V1_MORE = 128, 227
_APE = struct.Struct("<8sIIII8x")
_APE_HAS_HEADER, _APE_IS_HEADER = 1 << 31, 1 << 29


def after_tags(file: BinaryIO, start: int, end: int) -> int:
    """Where tags that begin at `start` end; `start` itself if none does."""
    while size := _tag_at(_read(file, start, 32)):
        start = min(start + size, end)
    return start


def before_tags(file: BinaryIO, start: int, end: int) -> int:
    """Where tags that end at `end` begin; `end` itself if none does."""
    while size := _tag_before(file, start, end):
        end -= size
    return end


def _tag_at(head: bytes) -> int:
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128 and 0xFF not in head[3:5]:
        return 10 + _synchsafe(head[6:10]) + (10 if head[5] & 0x10 else 0)
    if head[:8] == b"APETAGEX" and len(head) == _APE.size:
        _, _, size, _, flags = _APE.unpack(head)
        return int(size) + (32 if flags & _APE_IS_HEADER else 0)
    if head[:4] == b"TAG+":
        return _ID3V1_MORE
    return _ID3V1 if head[:3] == b"TAG" else 0


def _tag_before(file: BinaryIO, start: int, end: int) -> int:
    """Bytes of the tag that ends there, 0 if none does or it would begin before `start`."""
    tail = _read(file, max(start, end - _ID3V1_MORE), min(_ID3V1_MORE, end - start))
    if tail[-_ID3V1:-125] == b"TAG":
        size = _ID3V1
    elif tail[:4] == b"TAG+":
        size = _ID3V1_MORE
    elif tail[-32:-24] == b"APETAGEX":
        size = _ape_before(file, end, tail)
    elif tail[-10:-7] == b"3DI":
        size = 20 + _synchsafe(tail[-4:])
    elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
        size = 15 + int(tail[-15:-9])
    else:
        size = 0
    return size if size <= end - start else 0


def _ape_before(file: BinaryIO, end: int, tail: bytes) -> int:
    _, _, size, _, flags = _APE.unpack(tail[-_APE.size :])
    has_header = flags & _APE_HAS_HEADER and _read(file, max(0, end - size - _APE.size), 8) == b"APETAGEX"
    return int(size) + (_APE.size if has_header else 0)


def _synchsafe(four: bytes) -> int:
    return four[0] << 21 | four[1] << 14 | four[2] << 7 | four[3]


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)
