"""Matroska and WebM: whether a file ends inside an element, which FFmpeg passes over in silence.

Source: RFC 8794, sections 4 to 6; RFC 9559 for the identifiers.
"""

from __future__ import annotations

from typing import BinaryIO

from soundstream.audio.formats.views import Bytes

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675


def is_cut(file: BinaryIO) -> bool:
    """Whether an element of a file has more bytes than are left for it."""
    end = file.seek(0, 2)
    data, position = Bytes(file, end), 0
    while position < end:
        identifier, position = _number(data, position, marked=True)
        size, position = _number(data, position)
        if identifier not in (_SEGMENT, _CLUSTER):
            if size is None:
                return True
            position += size
        elif size is not None and position + size > end:  # None is a stream's
            return True
    return position > end


def _number(data: Bytes, position: int, marked: bool = False) -> tuple[int | None, int]:
    """A number of variable length and where it ends; None if all its bits are ones, or it is not there.

    Args:
        marked: keep the bit that says how long it is, as identifiers do.
    """
    first = data.at(position, 1)
    length = 9 - first[0].bit_length() if first else 9
    digits = data.at(position, length)
    if length > 8 or len(digits) < length:
        return None, data.end + 1
    mask = (1 << 7 * length) - 1
    number = int.from_bytes(digits)
    return None if number & mask == mask else number if marked else number & mask, position + length
