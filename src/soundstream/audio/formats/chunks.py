"""WAV and its kin (RF64, W64, AIFF, AU, CAF, NIST): where the samples lie, and how many the header promises.

The number of bytes in a header is right only if its writer could go back to it. A pipe leaves a placeholder there, a
crash a zero, 32 bits wrap at 4 GiB, and a file that was cut keeps the old one. What the header cannot know is read to
the end of the file; what it promises and is not there is said.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from soundstream.audio.formats import mpeg
from soundstream.audio.formats.tags import after_tags, before_tags
from soundstream.audio.formats.views import Bytes, Gap, Part


class _Layout(NamedTuple):
    """How a format of chunks is laid out."""

    first: int
    """Where the first chunk begins."""
    name_bytes: int
    size: str
    """Of a chunk, as `struct` has it."""
    counted: int
    """Bytes of a chunk's own head that its size counts."""
    align: int
    """Bytes that chunks are filled up to a multiple of."""
    sound: bytes
    """Name of the chunk of samples."""
    prefix: int
    """Bytes in it before the first sample."""


_RIFF = _Layout(12, 4, "<I", 0, 2, b"data", 0)
_LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _RIFF._replace(size=">I"),
    b"FORM": _Layout(12, 4, ">I", 0, 2, b"SSND", 8),
    b"riff": _Layout(40, 16, "<Q", 24, 8, b"data", 0),
    b"caff": _Layout(8, 4, ">Q", 0, 1, b"data", 4),
}
_FORMS = {b"WAVE", b"AIFF", b"AIFC"}
_AU = {b".snd": ">II", b"dns.": "<II"}
_NIST = b"NIST_1A"
MAGICS = {*_LAYOUTS, *_AU, _NIST[:4]}
_OTHERS = {b"OggS", b"fLaC"}
"""What sounds begin with that are not of chunks, and may be joined to one."""

_MPEG = (0x50, 0x55)
"""Encodings of WAV that are MPEG audio, of layers I and II, and III."""
_PLACEHOLDERS = (range(0x7F00_0000, 0x7F00_0100), range(0x7FFF_0000, 0x8000_0001), range(0xFFFF_0000, 1 << 32))
"""Sizes that programs write into a pipe."""
_ENDLESS = 1 << 62
_WRAP = 1 << 32
_MAX = 1 << 31
"""Bytes of sound in what libsndfile is shown as one WAV; beyond 4 GiB it reads none."""


class _Chunk(NamedTuple):
    name: bytes
    """Its first four bytes."""
    field: int
    """Where its size stands."""
    start: int
    """Where its data begins."""
    size: int
    """Bytes of data that it claims."""
    behind: int
    """Where the next one would begin."""


@dataclass(frozen=True)
class _Sound:
    """The samples of a file."""

    field: int
    """Where their number of bytes stands in the file."""
    form: str
    """Of that number, as `struct` has it."""
    more: int
    """What that number counts beside them."""
    start: int
    size: int
    """Bytes that the header counts."""
    block: int = 0
    """Bytes that belong together; 0 if not known."""
    codec: int = 0
    """What WAV calls the encoding; 0 if not known."""


class _Rest(NamedTuple):
    """What follows the samples."""

    spans: tuple[tuple[int, int], ...]
    """More samples."""
    end: int
    """Where the stream ends."""
    unknown: int = 0
    """Bytes in front of that end that are no chunks."""


def find(file: BinaryIO, start: int, end: int) -> tuple[list[Part], int] | None:
    """The stream that begins at a place, in one part unless it is too long for that, and where it ends.

    Returns:
        None if it is of another format, or there is no place for samples in it.
    """
    data = Bytes(file, before_tags(file, start, end))
    layout = _LAYOUTS.get(data.at(start, 4))
    if data.at(start, len(_NIST)) == _NIST:
        return _nist(file, data, start)
    sound = _chunked(data, layout, start) if layout else _au(data, start)
    if sound is None or sound.start > data.end:
        return None
    there = data.end - sound.start
    rest = _Rest((), data.end)
    if sound.size < there:
        counted = sound.start + sound.size
        fill = -sound.size % layout.align if layout else 0
        rest = _behind(file, data, layout, counted, fill) if layout else _after(file, data, counted)
    if endless := _is_endless(sound, there, rest):
        rest = _Rest((), data.end)
    size = there if endless else min(sound.size, there)
    if sound.codec in _MPEG and (mpeg_parts := mpeg.find(file, sound.start, sound.start + size)):
        return mpeg_parts, rest.end
    spans = [(sound.start, sound.start + size), *rest.spans]
    left_out = rest.unknown >= max(2, sound.block) and not data.is_blank(rest.end - rest.unknown, rest.end)
    gaps = [Gap(f"{rest.unknown:,} bytes behind what its header counts are left out")] if left_out else []
    if size == sound.size and len(spans) == 1:
        return [Part(((start, rest.end),), gaps=tuple(gaps))], rest.end
    if sound.size > size and not endless:
        gaps.append(_cut(sound.size, size))
    parts = [_part(sound, start, group) for group in _groups(sound, spans)]
    return [*parts[:-1], replace(parts[-1], gaps=tuple(gaps))], rest.end


def wav_codec(file: BinaryIO) -> int:
    """What a WAV calls its encoding; 0 if it does not say it, or has no place for samples."""
    data = Bytes(file, file.seek(0, 2))
    sound = _chunked(data, _RIFF, 0)
    return sound.codec if sound and sound.start <= data.end else 0


def _is_endless(sound: _Sound, there: int, rest: _Rest) -> bool:
    """Whether the header does not know how much there is, and all of it is sound."""
    if sound.size >= _ENDLESS or (sound.size <= 0 and rest.unknown):
        return True
    if struct.calcsize(sound.form) != 4 or (sound.size <= there and not rest.unknown):
        return False
    return any(sound.size in sizes for sizes in _PLACEHOLDERS) or (there - sound.size) % _WRAP == 0


def _groups(sound: _Sound, spans: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Stretches of samples that one header can count."""
    if struct.calcsize(sound.form) != 4 or not sound.block or sum(end - start for start, end in spans) <= _MAX:
        return [spans]
    step = _MAX // sound.block * sound.block
    return [[(first, min(first + step, end))] for start, end in spans for first in range(start, end, step)]


def _cut(promised: int, there: int) -> Gap:
    return Gap("its header counts more than there is", declared=promised / max(1, there))


def _part(sound: _Sound, start: int, spans: list[tuple[int, int]]) -> Part:
    """Everything before the samples, with their number of bytes put right, and the samples."""
    size = struct.pack(sound.form, sum(end - first for first, end in spans) + sound.more)
    return Part(((start, sound.field), size, (sound.field + len(size), sound.start), *spans))


def _chunked(data: Bytes, layout: _Layout, start: int) -> _Sound | None:
    if layout.size[1:] == "I" and data.at(start + 8, 4) not in _FORMS:
        return None
    position, wide, block, codec = start + layout.first, None, 0, 0
    while chunk := _chunk(data, layout, position):
        if chunk.name == b"ds64":
            wide = chunk.start + 8
        if chunk.name == b"fmt ":
            codec, block = (int.from_bytes(data.at(chunk.start + place, 2), "little") for place in (0, 12))
        if chunk.name == layout.sound:
            more = layout.counted + layout.prefix
            if wide and chunk.size == _WRAP - 1:
                size = int.from_bytes(data.at(wide, 8), "little")
                return _Sound(wide, "<Q", 0, chunk.start, size, block, codec)
            sound = chunk.start + layout.prefix
            return _Sound(chunk.field, layout.size, more, sound, chunk.size - layout.prefix, block, codec)
        position = chunk.behind
    return None


def _chunk(data: Bytes, layout: _Layout, position: int) -> _Chunk | None:
    field = position + layout.name_bytes
    start = field + struct.calcsize(layout.size)
    if start > data.end:
        return None
    size = struct.unpack(layout.size, data.at(field, start - field))[0] - layout.counted
    return _Chunk(data.at(position, 4), field, start, size, start + max(0, size) + -size % layout.align)


def _behind(file: BinaryIO, data: Bytes, layout: _Layout, end: int, fill: int) -> _Rest:
    """Follow the chunks behind the samples, to the end of the file or to where another stream begins."""
    unfilled = fill and _is_name(data.at(end, 4)) and not _is_name(data.at(end + fill, 4))
    position = end if unfilled else end + fill
    spans = list[tuple[int, int]]()
    while position < data.end:
        if data.at(position, 4) in MAGICS | _OTHERS or after_tags(file, position, data.end) > position:
            break
        chunk = _chunk(data, layout, position)
        if chunk is None or chunk.size < 0 or not _is_name(chunk.name) or chunk.behind > data.end + layout.align:
            return _Rest(tuple(spans), data.end, data.end - position)
        if chunk.name == layout.sound:
            spans.append((chunk.start + layout.prefix, chunk.start + chunk.size))
        position = chunk.behind
    return _Rest(tuple(spans), min(position, data.end))


def _after(file: BinaryIO, data: Bytes, end: int) -> _Rest:
    """What follows the samples of a format without chunks: another stream, or bytes that are none."""
    if data.at(end, 4) in MAGICS | _OTHERS or after_tags(file, end, data.end) > end:
        return _Rest((), end)
    return _Rest((), data.end, data.end - end)


def _is_name(name: bytes) -> bool:
    return name.isascii() and name.decode().isprintable()


def _au(data: Bytes, start: int) -> _Sound | None:
    head = data.at(start, 12)
    if head[:4] not in _AU or len(head) < 12:
        return None
    offset, size = struct.unpack(_AU[head[:4]], head[4:])
    return _Sound(start + 8, _AU[head[:4]][:2], 0, start + offset, size if 0 < size < _WRAP - 1 else _ENDLESS)


def _nist(file: BinaryIO, data: Bytes, start: int) -> tuple[list[Part], int]:
    """NIST SPHERE: a page of text; libsndfile goes by the length of the file."""
    text = data.at(start, 1024)
    size = math.prod(_nist_number(text, name) for name in (b"sample_count", b"sample_n_bytes", b"channel_count"))
    first = start + int(text[8:16].strip() or 0)
    there = data.end - first
    end = _after(file, data, first + size).end if 0 < size < there else data.end
    return [Part(((start, end),), gaps=(_cut(size, there),) if size > there else ())], end


def _nist_number(text: bytes, name: bytes) -> int:
    found = re.search(name + rb" -i\s+(\d+)", text)
    return int(found[1]) if found else 0
