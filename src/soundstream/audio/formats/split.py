"""What a file is made of: the streams in it, one after another, each with what is known to be missing."""

from __future__ import annotations

from typing import BinaryIO

from soundstream.audio.formats import chunks, flac, mpeg, ogg
from soundstream.audio.formats.tags import after_tags
from soundstream.audio.formats.views import Part

_MAGICS = {*chunks.MAGICS, ogg.MAGIC, flac.MAGIC}


def find_parts(file: BinaryIO) -> list[Part] | None:
    """The streams of a seekable file, by its bytes and not by its name; the rest, of other formats, is one stream.

    Returns:
        None if libsndfile has no decoder for it.
    """
    end = file.seek(0, 2)
    start = after_tags(file, 0, end)
    parts = _parts_at(file, start, end)
    if parts == []:
        return [Part(((start, end),))]
    while parts and (start := _next_sound(file, parts, end)) < end and (more := _parts_at(file, start, end)):
        parts += more
    return parts


def _parts_at(file: BinaryIO, start: int, end: int) -> list[Part] | None:
    """The streams of one format that begin at a place: none if its format is not known, None as `find_parts`."""
    magic = _magic(file, start)
    if magic in chunks.MAGICS:
        return _chunked(file, start, end)
    if magic == ogg.MAGIC:
        return ogg.find(file, start, end, _MAGICS - {ogg.MAGIC})
    if magic == flac.MAGIC:
        return flac.find(file, start, end, _MAGICS - {flac.MAGIC})
    return mpeg.find(file, start, end, _MAGICS) or []


def _next_sound(file: BinaryIO, parts: list[Part], end: int) -> int:
    """Where a sound of another format was joined, at once or behind a tag; the end if none was."""
    behind = max((piece[1] for part in parts for piece in part.pieces if isinstance(piece, tuple)), default=end)
    start = after_tags(file, behind, end)
    return start if start > behind or _magic(file, start) in _MAGICS else end


def _magic(file: BinaryIO, start: int) -> bytes:
    file.seek(start)
    return file.read(4)


def _chunked(file: BinaryIO, start: int, end: int) -> list[Part]:
    """Files of chunks that were joined, as `cat` does; what follows and is none is left out, with a word."""
    parts = list[Part]()
    while found := chunks.find(file, start, end):
        parts += found[0]
        start = after_tags(file, found[1], end)
    return parts
