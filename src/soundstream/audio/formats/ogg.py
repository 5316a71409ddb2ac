"""Ogg: where its pages lie, link after link, and which of them are missing, damaged or cut.

A file may be a chain of links, each a stream of its own; libsndfile reads the first. Pages of other streams (pictures,
other sound) may lie between those of the sound. Ogg FLAC, which libsndfile does not read, is FLAC once the pages are
taken off.

Source: RFC 3533; RFC 7845 for Opus (5.1.1.2 for the order of channels); the mappings of Vorbis (Vorbis I, 4.3.9 for
that order) and FLAC by Xiph.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from soundstream.audio.formats import flac
from soundstream.audio.formats.tags import after_tags, before_tags
from soundstream.audio.formats.views import Bytes, Gap, Part, Piece, joined

MAGIC = b"OggS"
_HEAD = struct.Struct("<4sBBqIIIB")
_BEGINS, _ENDS = 2, 4
_OPUS_RATE = 48_000
_FLAC_PREFIX = 9
"""Bytes before `fLaC` in the first packet of Ogg FLAC."""
_EARLY_S = 4
"""Seconds in which the first page of a stream that was not cut from a longer one ends."""
_MAX_PAGE = 1 << 16
"""Bytes of a page, nearly."""
WAV_ORDER = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
"""Of so many channels of Vorbis and Opus the places of those that WAV has first, second and so on."""
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _Page(NamedTuple):
    start: int
    body: int
    """Where the page's data begins."""
    end: int
    flags: int
    granule: int
    """Samples up to its end, -1 if no packet ends in it."""
    serial: int
    sequence: int
    checksum: int


@dataclass
class _Stream:
    """The pages of one stream of a link."""

    head: bytes
    """Its first packet."""
    pages: list[tuple[int, int, int]] = field(default_factory=list)
    """Start, body, end of each page."""
    sequence: int = 0
    """Of the last page."""
    ended: bool = False
    first: int = -1
    """Granule of the first page with sound, and of the last."""
    granule: int = 0
    holes: list[int] = field(default_factory=list)
    """Granules before missing pages."""
    strays: int = 0
    """Pages behind its start that belong to no stream that was begun."""

    @property
    def kind(self) -> str | None:
        kinds = {b"\x01vorbis": "vorbis", b"OpusHead": "opus", b"\x7fFLAC": "flac"}
        return next((kind for magic, kind in kinds.items() if self.head.startswith(magic)), None)

    @property
    def order(self) -> tuple[int, ...]:
        """Places of the channels in the order of WAV; none if that is their own."""
        if self.kind == "vorbis":
            return WAV_ORDER.get(self.head[11], ())
        has_layout = self.kind == "opus" and self.head[18:19] == b"\x01"
        return WAV_ORDER.get(self.head[9], ()) if has_layout else ()

    @property
    def sample_rate(self) -> int:
        """Of the granules, in Hz."""
        if self.kind == "opus":
            return _OPUS_RATE
        if self.kind == "vorbis":
            return max(1, int.from_bytes(self.head[12:16], "little"))
        return max(1, int.from_bytes(self.head[27:30]) >> 4)

    def take(self, page: _Page) -> None:
        if self.pages and page.sequence != self.sequence + 1 & 0xFFFF_FFFF:
            self.holes.append(self.granule)
        self.pages.append((page.start, page.body, page.end))
        self.sequence, self.ended = page.sequence, bool(page.flags & _ENDS)
        if page.granule > 0:
            self.first = page.granule if self.first < 0 else self.first
            self.granule = page.granule


def find(file: BinaryIO, start: int, end: int, others: Collection[bytes] = ()) -> list[Part] | None:
    """The links of an Ogg file.

    Args:
        others: what sounds of other formats begin with, which end this one where they were joined.
    Returns:
        None if one of them holds no Vorbis, Opus or FLAC.
    """
    parts = []
    for link in _links(file, start, end, others):
        stream = next((stream for stream in link if stream.kind), None)
        if stream is None:
            return None
        parts.append(_part(file, stream))
    return parts or None


def _links(file: BinaryIO, start: int, end: int, others: Collection[bytes]) -> Iterator[list[_Stream]]:
    """The streams of each link, in the order in which they begin."""
    link: dict[int, _Stream] = {}
    begun = False
    for page in _pages(file, start, end, others):
        if page.flags & _BEGINS:
            if begun:
                yield list(link.values())
                link, begun = {}, False
            link[page.serial] = _Stream(_read(file, page.body, page.end))
        else:
            begun = True
        if page.serial in link:
            link[page.serial].take(page)
        elif link:
            next(iter(link.values())).strays += 1
    if link:
        yield list(link.values())


def _pages(file: BinaryIO, start: int, end: int, others: Collection[bytes]) -> Iterator[_Page]:
    """Whole pages with the right checksum; no more once looking for them took twice the length of the file."""
    end = before_tags(file, start, end)
    data, patience = Bytes(file, end), 2 * (end - start) + _MAX_PAGE
    while start < end and patience > 0:
        page = _page(data, start)
        if page and _checksum(data.at(start, page.end - start)) == page.checksum:
            yield page
            start = page.end
        elif (behind := after_tags(file, start, end)) > start:
            start = behind
        elif data.at(start, 4) in others:
            return
        else:
            patience -= page.end - page.start if page else 0
            start = _next(data, start + 1)


def _page(data: Bytes, start: int) -> _Page | None:
    head = data.at(start, _HEAD.size)
    if len(head) < _HEAD.size or head[:4] != MAGIC:
        return None
    _, _, flags, granule, serial, sequence, checksum, segments = _HEAD.unpack(head)
    body = start + _HEAD.size + segments
    end = body + sum(data.at(start + _HEAD.size, segments))
    return _Page(start, body, end, flags, granule, serial, sequence, checksum) if end <= data.end else None


def _next(data: Bytes, start: int) -> int:
    """Where the next page may begin."""
    while block := data.at(start, 1 << 16):
        found = block.find(MAGIC)
        if found >= 0:
            return start + found
        start += max(1, len(block) - len(MAGIC) + 1)
    return data.end


def _checksum(page: bytes) -> int:
    """CRC-32 with the field itself zero, high bit first: zlib's own of the mirrored bits, without its inversions."""
    blank = page[:22] + bytes(4) + page[26:]
    mirrored = zlib.crc32(blank.translate(_MIRRORED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED))


def _part(file: BinaryIO, stream: _Stream) -> Part:
    rate = stream.sample_rate
    begin = 0 if stream.first < _EARLY_S * rate else stream.first
    if stream.kind == "opus" and not begin:
        begin = int.from_bytes(stream.head[10:12], "little")  # samples to skip
    gaps = []
    if stream.holes:
        places = f" in {len(stream.holes)} places, here first" if len(stream.holes) > 1 else ""
        at_s = max(0, stream.holes[0] - begin) / rate
        gaps.append(Gap(f"pages are missing or damaged{places}", at_s, expected_s=(stream.granule - begin) / rate))
    if not stream.ended:
        gaps.append(Gap("no page is marked as its last, so it may be cut short"))
    if stream.strays:
        gaps.append(Gap(f"{stream.strays:,} pages behind it belong to a stream whose start is missing"))
    return Part(
        pieces=tuple((_unpacked if stream.kind == "flac" else _packed)(file, stream)),
        samples=stream.granule if stream.kind == "flac" and not stream.holes else None,
        trusted=not gaps,
        gaps=tuple(gaps),
        order=stream.order,
    )


def _packed(file: BinaryIO, stream: _Stream) -> list[Piece]:
    """The pages, the last one marked as such: without that, libsndfile fails where Opus ends inside a packet."""
    *pages, (start, _, end) = stream.pages
    last: Piece = (start, end) if stream.ended else _marked(_read(file, start, end))
    return [*joined((start, end) for start, _, end in pages), last]


def _marked(page: bytes) -> bytes:
    page = page[:5] + bytes([page[5] | _ENDS]) + page[6:]
    return page[:22] + _checksum(page).to_bytes(4, "little") + page[26:]


def _unpacked(file: BinaryIO, stream: _Stream) -> list[Piece]:
    """What is in the pages, which is a FLAC file."""
    (_, body, end), *pages = stream.pages
    head = flac.with_total(_read(file, body + _FLAC_PREFIX, end), stream.granule)
    return [head, *((body, end) for _, body, end in pages)]


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)
