"""What a file is made of: the streams in it, one after another, each with what is known to be missing."""

from __future__ import annotations

from typing import BinaryIO

from soundstream.audio.formats import chunks, flac, mpeg, ogg
from soundstream.audio.formats.tags import after_tags
from soundstream.audio.formats.views import Part


def find_parts(file: BinaryIO) -> list[Part] | None:
    """The streams of a seekable file, by its bytes and not by its name; the rest, of other formats, is one stream.

    Returns:
        None if libsndfile has no decoder for it.
    """
    end = file.seek(0, 2)
    start = after_tags(file, 0, end)
    file.seek(start)
    magic = file.read(4)
    if magic in chunks.MAGICS:
        return _chunked(file, start, end)
    if magic == ogg.MAGIC:
        return ogg.find(file, start, end)
    if magic == flac.MAGIC:
        return flac.find(file, start, end)
    return mpeg.find(file, start, end) or [Part(((start, end),))]


def _chunked(file: BinaryIO, start: int, end: int) -> list[Part] | None:
    """Files of chunks that were joined, as `cat` does; what follows and is none is left out, with a word."""
    parts = list[Part]()
    while found := chunks.find(file, start, end):
        parts += found[0]
        start = after_tags(file, found[1], end)
    return parts or [Part(((start, end),))]
