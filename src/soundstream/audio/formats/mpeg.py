"""MPEG audio (MP3, MP2, MP1): where its frames lie and how many there are.

Nothing says reliably how long such a file is: a Xing or VBRI header may be missing or wrong, and bytes say nothing
where the rate varies. So every frame's header is read. Tags, pictures and junk are left out, and what is left is one
stream.

Source: ISO/IEC 11172-3, 2.4.1.3 and 2.4.2.3; ISO/IEC 13818-3 for the halved rates; the Xing header as LAME writes it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from soundstream.audio.formats.tags import after_tags, before_tags
from soundstream.audio.formats.views import Bytes, Gap, Part

DECODER_DELAY = 529
"""Samples that a decoder of layer III is late; an encoder's own delay and padding come with its header."""

_BITRATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by whether the sample rate is a full one, and layer."""
_RATES = (44_100, 48_000, 32_000)
_RATE_SHIFT = {3: 0, 2: 1, 0: 2}
_THIRD = bytes(byte for byte in range(256) if byte >> 4 not in (0, 15) and byte >> 2 & 3 != 3)
_HEADER = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][" + re.escape(_THIRD) + rb"]")
_BLOCK = 1 << 16
_MAX_FRAME = 2048
"""Bytes that no frame exceeds."""
_CHAIN = 4
"""Frames that must follow one another for bytes to be taken as MPEG audio."""
_JUNK = 1 << 17
"""Bytes of something else that may lie before the first frame."""


class Frame(NamedTuple):
    """What the four bytes of a header say."""

    length: int
    """Bytes."""
    samples: int
    kind: tuple[int, int, bool]
    """Sample rate in Hz, layer, and whether it is mono; alike in all frames of a stream."""
    side_info: int
    """Bytes of side information in layer III."""


class Info(NamedTuple):
    """What a Xing or VBRI header says; it takes the place of the first frame and holds no sound."""

    frames: int | None
    delay: int = -DECODER_DELAY
    """Samples that the encoder added before the sound, and behind it."""
    padding: int = 0


@dataclass
class _Run:
    """Frames of one kind, one after another."""

    first: Frame
    info: Info | None
    spans: list[tuple[int, int]] = field(default_factory=list)
    frames: int = 0
    gaps: list[Gap] = field(default_factory=list)
    cut: bool = False
    """Whether the file ends inside the frame that would be next."""
    junk: int = 0
    """Bytes behind the last frame that are something else."""
    last: int = 0
    """Where the last frame begins."""

    def take(self, start: int, end: int) -> None:
        """Append a frame."""
        self.last = start
        if self.spans and self.spans[-1][1] == start:
            start, _ = self.spans.pop()
        self.spans.append((start, end))
        self.frames += 1

    def drop(self) -> None:
        """Take back the last frame."""
        start, _ = self.spans.pop()
        self.spans += [(start, self.last)] if start < self.last else []
        self.frames -= 1

    def lose(self, reason: str, frames: int | None = None) -> None:
        """Note that something is missing here."""
        self.gaps.append(Gap(reason, self.seconds(self.frames), None if frames is None else self.seconds(frames)))

    def seconds(self, frames: int) -> float:
        return frames * self.first.samples / self.first.kind[0]


def find(file: BinaryIO, start: int, end: int, others: Collection[bytes] = ()) -> list[Part] | None:
    """The streams of MPEG audio in a file, one more wherever the rate, the layer or the number of channels changes.

    Args:
        others: what sounds of other formats begin with, which end these where they were joined.
    Returns:
        None if it is no MPEG audio.
    """
    end = before_tags(file, start, end)
    data = Bytes(file, end)
    first = _sync(data, start, start + _JUNK, _CHAIN)
    return None if first is None else [_part(run) for run in _runs(file, data, first, others)]


@lru_cache(maxsize=4096)
def _frame(head: bytes) -> Frame | None:
    """What a header says; None if it is none. Frames of a free bit rate, which say no length, are not taken."""
    if not _HEADER.match(head) or len(head) < 4:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    full = version == 3
    sample_rate = _RATES[head[2] >> 2 & 3] >> _RATE_SHIFT[version]
    bitrate, padding, mono = 1000 * _BITRATES[full, layer][head[2] >> 4], head[2] >> 1 & 1, head[3] >> 6 == 3
    samples = 384 if layer == 1 else 1152 if layer == 2 or full else 576
    slot = 4 if layer == 1 else 1
    length = slot * (samples // (8 * slot) * bitrate // sample_rate + padding)
    side_info = (17 if mono else 32) if full else (9 if mono else 17)
    return Frame(length, samples, (sample_rate, layer, mono), side_info)


def _runs(file: BinaryIO, data: Bytes, position: int, others: Collection[bytes]) -> list[_Run]:
    runs: list[_Run] = []
    lowest = position  # where a frame may begin, inside one that claims more bytes than it has
    while position < data.end:
        frame = _frame(data.at(position, 4))
        if frame and runs and frame.kind == runs[-1].first.kind:
            lowest, end = position + 1, position + frame.length
            if end > data.end:
                runs[-1].cut = True
                break
            runs[-1].take(position, end)
            position = end
        elif (behind := after_tags(file, position, data.end)) > position:
            lowest = position = behind
        elif runs and data.at(position, 4) in others:
            break
        else:
            found = _sync(data, lowest, data.end, _CHAIN - 1)
            if runs:
                _note_junk(runs[-1], data, position, found)
            if found is None:
                break
            lowest = position = found
            frame = _frame(data.at(found, 4))
            if frame and not (runs and frame.kind == runs[-1].first.kind):
                runs.append(_Run(frame, info := _info(data.at(found, frame.length), frame)))
                position += frame.length if info else 0
    return runs


def _note_junk(run: _Run, data: Bytes, position: int, found: int | None) -> None:
    """Note what lies between the last frame's end and the place where the next one was found, if it was."""
    if found is not None and found < position:
        run.drop()
        run.lose("a frame is cut short", 1)
        return
    end = data.end if found is None else found
    if data.is_blank(position, end):
        return
    if found is None:
        run.junk = end - position
    else:
        run.lose(f"{end - position:,} bytes there are no MPEG audio")


def _info(data: bytes, frame: Frame) -> Info | None:
    if data[36:40] == b"VBRI":
        return Info(*struct.unpack_from(">I", data, 50))
    for start in (4 + frame.side_info, 6 + frame.side_info):  # the second where a checksum follows the header
        if data[start : start + 4] in (b"Xing", b"Info"):
            return _xing(data[start:])
    return None


def _xing(tag: bytes) -> Info:
    """Flags say which fields follow: frames, bytes, places, quality; behind them an encoder may name its delays."""
    flags = int.from_bytes(tag[4:8])
    frames = int.from_bytes(tag[8:12]) if flags & 1 else None
    encoder = 8 + sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
    if tag[encoder : encoder + 4] not in (b"LAME", b"Lavf", b"Lavc"):
        return Info(frames)
    delays = int.from_bytes(tag[encoder + 21 : encoder + 24])
    return Info(frames, delays >> 12, delays & 0xFFF)


def _part(run: _Run) -> Part:
    info, frames = run.info or Info(None), run.frames
    missing = 0 if info.frames is None else info.frames - frames
    whole = info.frames == frames and not run.cut
    if missing > 1:
        run.lose(f"its header counts {info.frames:,} frames, and {frames:,} are there", missing)
    elif run.cut and missing >= 0:
        run.lose("it ends inside a frame")
    elif run.junk and not whole:
        run.lose(f"the last {run.junk:,} bytes are no MPEG audio")
    skip = info.delay + DECODER_DELAY
    samples = frames * run.first.samples - skip - (max(0, info.padding - DECODER_DELAY) if whole else 0)
    return Part(
        pieces=tuple(run.spans if frames > 1 else 2 * run.spans),  # libsndfile takes one frame for none
        overstated=_MAX_FRAME * frames + 1024,
        skip=skip,
        samples=max(0, samples),
        gaps=tuple(run.gaps),
    )


def _sync(data: Bytes, position: int, last: int, frames: int) -> int | None:
    """The first place before `last` where so many frames of a kind follow one another, or all that are left do."""
    while position < min(last, data.end):
        block = data.at(position, _BLOCK)
        found = _HEADER.search(block)
        if not found:
            position += max(1, len(block) - 2)
            continue
        position += found.start()
        if _chain(data, position, frames):
            return position
        position += 1
    return None


def _chain(data: Bytes, position: int, frames: int) -> bool:
    kinds = set[object]()
    for count in range(frames):
        frame = _frame(data.at(position, 4))
        if frame is None:
            return False
        kinds.add(frame.kind)
        position += frame.length
        if position > data.end:
            return count > 0 and len(kinds) == 1
        if position == data.end:
            break
    return len(kinds) == 1
