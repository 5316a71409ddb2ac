"""Cutting and joining files without decoding their audio: only codes are taken out and packed again.

A part begins at any sample, and its frames before that, by what a decoder remembers: the header's lead-in says how many
samples to leave out. Its last frame ends behind its last sample. So two parts that meet hold some frames twice. Joined,
they are one again:

    frames    |  0  |  1  |  2  |  3  |  4  |
    first     |-----------------|              ends inside frame 2
    second          |llllllll---------------|  begins inside frame 2; l is its lead-in
    joined    |-----------------------------|
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import BinaryIO

import numpy as np

from soundstream.arrays import Codes
from soundstream.audio.blocks import taken
from soundstream.bitstream import Header, Packet, Reader, Writer
from soundstream.codec.codec import Codec
from soundstream.codec.writing import packet_frames
from soundstream.errors import ConfigError
from soundstream.system.files import named

JOINED = ("model_id", "sample_rate", "channels", "codec_sample_rate", "hop_length", "codebook_bits")
"""Fields of the header in which files that are joined must agree."""
_MAX_OVER = 128
"""Frames that neighbouring parts may both hold beside what a decoder remembers: 3, and 75 more at odd sample rates."""


def cut(codec: Codec, reader: Reader, stream: BinaryIO, start_s: float, end_s: float | None = None) -> None:
    """Write the part of a file from the sample at `start_s` to the one before `end_s`.

    It sounds as it does in the whole: a lead-in has what the decoder has to remember there.

    Args:
        end_s: the end of the file if None, or if it lies behind that.
    Raises:
        ConfigError: the part is empty or begins after the end.
        BitstreamError: the file is damaged or of another model.
    """
    header = reader.header
    with named(reader.name):
        codec.check_model(header)
    start, end = round(start_s * header.sample_rate), None if end_s is None else round(end_s * header.sample_rate)
    if start < 0 or (end is not None and end <= start):
        raise ConfigError(f"the part from {start_s} s to {end_s} s is empty")
    samples = None if reader.num_samples is None else _between(start, end, reader.num_samples)
    first, lead_in = _first_frame(codec, header, start)
    reader.skip_to(first)
    last = None if end is None else _frames_to(codec, header, end)
    writer = Writer(stream, dataclasses.replace(header, num_samples=samples, lead_in=lead_in))
    skipped, frames = first - reader.frames, None if last is None else last - first
    parts = taken(codec.coding.unpack(_packets_to(reader, last), header), skipped, frames)
    for packet in codec.coding.pack(parts, header.entropy_mode, header.frame_counts):
        writer.write(packet)
    writer.finish(_between(start, end, _known_end(reader)) if samples is None else samples)


def _check_no_segments(codec: Codec) -> None:
    if codec.spec.segment_samples:
        raise ConfigError("files of a codec with segments cannot be joined by their codes; decode them first")


def _between(start: int, end: int | None, num_samples: float) -> int:
    """Samples of a part of so many.

    Raises:
        ConfigError: it begins after the end.
    """
    if num_samples <= start:
        raise ConfigError(f"it ends after {num_samples:,} samples, before sample {start:,}, where the part would begin")
    return int(min(num_samples, math.inf if end is None else end)) - start


def _first_frame(codec: Codec, header: Header, start: int) -> tuple[int, int]:
    """The frame at which a part begins, at the place of a whole sample, and the samples behind it to leave out."""
    place = header.lead_in + start
    frame, begin = codec.start_before(place, header.sample_rate)
    return frame, place - begin


def _frames_to(codec: Codec, header: Header, end: int) -> int:
    """Frames of a file that a decoder needs for its samples up to `end`, of whole codes.

    Those that it looks ahead to are among them, and one more for a resampler to look at. Of segments there are those
    that begin before the end, and the beginning of the next one: it tells that the last of them is full.
    """
    spec, inner = codec.spec, -(-(header.lead_in + end) * header.codec_sample_rate // header.sample_rate)
    inner += spec.delay_samples + (header.sample_rate != header.codec_sample_rate) * header.hop_length
    if spec.segment_samples:
        segments = -(-inner // (spec.segment_samples - spec.overlap_samples))
        more = 1 + -(-spec.overlap_samples // spec.hop_length)
        return segments * (spec.segment_samples // spec.hop_length) + more
    frames = -(-inner // header.hop_length) + spec.context_frames
    return -(-frames // spec.granule) * spec.granule


def _packets_to(reader: Reader, last: int | None) -> Iterator[Packet]:
    """The packets of a file up to a frame: decoding others, as is done side by side, would take time for nothing."""
    for packet in reader:
        yield packet
        if last is not None and reader.frames >= last:
            return


def _known_end(reader: Reader) -> float:
    """Samples of a file of which enough for a part was read; infinite if more packets follow."""
    following = None if reader.complete else next(iter(reader), None)
    return math.inf if following or reader.num_samples is None else reader.num_samples


def cat(codec: Codec, readers: Sequence[Reader], stream: BinaryIO) -> None:
    """Write one file of several, which must agree in model, rate and channels; tags and entropy mode are the first's.

    Parts of a file in their order give the sound of that file, from the start of the first to the end of the last, with
    its codes. At the other joints sound is more by less than two frames and the decoder's delay, 30 ms with the default
    model: the one file is filled up to a whole frame, and the other one begins with one.

    Raises:
        ConfigError: there is no file, or two disagree.
        BitstreamError: a file is damaged or of another model.
    """
    if not readers:
        raise ConfigError("there are no files to join")
    _check_no_segments(codec)
    headers = [reader.header for reader in readers]
    for reader in readers:
        with named(reader.name):
            _check_joins(codec, reader.header, headers[0])
    most = max(header.num_quantizers for header in headers)
    counts = any(header.frame_counts for header in headers)
    first = dataclasses.replace(headers[0], num_quantizers=most, num_samples=None, frame_counts=counts)
    writer, joined = Writer(stream, first), _Joined(codec, readers)
    for packet in codec.coding.pack(joined, first.entropy_mode, counts):
        writer.write(packet)
    writer.finish(joined.num_samples)


def _check_joins(codec: Codec, header: Header, first: Header) -> None:
    codec.check_model(header)
    for name in JOINED:
        if getattr(header, name) != getattr(first, name):
            raise ConfigError(f"{name} is {getattr(header, name)}; that of the first file is {getattr(first, name)}")


class _Joined:
    """Codes of files one after another, packet by packet; frames that neighbours share come once."""

    def __init__(self, codec: Codec, readers: Sequence[Reader]) -> None:
        self._coding, self._readers = codec.coding, readers
        spec = codec.spec
        self._max_shared = codec.model.memory_frames + spec.context_frames + spec.grid + _MAX_OVER
        self._granule, self._grid = spec.granule, spec.grid
        first = readers[0].header
        self._hop, self._rate = first.hop_length * first.sample_rate, first.codec_sample_rate
        self._held: list[Codes] = []
        """The last packets, of all frames that the next file may hold too."""
        self._frames = 0
        """In all, with those held."""
        self._begin, self._end = 0, first.lead_in
        """The frame with which the last file begins, and the place behind its last sample, counted from there."""

    @property
    def num_samples(self) -> int:
        """Samples per channel of all files so far."""
        return self._begin * self._hop // self._rate + self._end - self._readers[0].header.lead_in

    def __iter__(self) -> Iterator[Codes]:
        for reader in self._readers:
            with named(reader.name):
                yield from self._added(reader)
        yield from self._held

    def _added(self, reader: Reader) -> Iterator[Codes]:
        """Take a file in, and give the packets that no later one changes."""
        parts = self._coding.unpack(reader, reader.header)
        shared = self._shared(reader.header)
        head = _begun(parts, shared or 1)
        if not head:
            return
        if shared is not None and _is_same(self._held, head, shared):
            left_out = 0
            self._drop(shared)
            self._begin = self._frames
            self._mend(head, packet_frames(reader.header))
        else:
            left_out = reader.header.lead_in * self._rate // self._hop // self._granule * self._granule
            self._begin = self._frames - left_out
        for part in taken(chain(head, parts), left_out):
            self._held.append(part)
            self._frames += part.shape[2]
            while _count(self._held[1:]) >= self._max_shared:
                yield self._held.pop(0)
        assert reader.num_samples is not None
        self._end = reader.header.lead_in + reader.num_samples

    def _shared(self, header: Header) -> int | None:
        """Frames that a file of this header holds again if it is the next part; None if it cannot be."""
        place = (self._end - header.lead_in) * self._rate
        shared = self._frames - self._begin - place // self._hop
        apart = place < 0 or place % self._hop or (self._frames - shared) % self._grid
        return None if apart or shared > _count(self._held) else shared

    def _drop(self, frames: int) -> None:
        """Take back the last frames."""
        self._frames -= frames
        while frames:
            last = self._held.pop()
            kept = max(0, last.shape[2] - frames)
            frames -= last.shape[2] - kept
            self._held += [last[:, :, :kept]] if kept else []

    def _mend(self, head: list[Codes], longest: int) -> None:
        """Make one packet of two that a cut made of one."""
        if not self._held or self._held[-1].shape[1] != head[0].shape[1] or _count([self._held[-1], head[0]]) > longest:
            return
        last = self._held.pop()
        self._frames -= last.shape[2]
        head[0] = np.concatenate([last, head[0]], axis=2)


def _begun(parts: Iterator[Codes], frames: int) -> list[Codes]:
    """The first parts, of at least so many frames if there are as many."""
    head: list[Codes] = []
    while _count(head) < frames and (part := next(parts, None)) is not None:
        head.append(part)
    return head


def _count(parts: Sequence[Codes]) -> int:
    return sum(part.shape[2] for part in parts)


def _is_same(held: Sequence[Codes], head: Sequence[Codes], frames: int) -> bool:
    """Whether the last frames of one are the first of the other."""
    last, first = _columns(held)[_count(held) - frames :], _columns(head)[:frames]
    return len(first) == frames and all(map(np.array_equal, last, first))


def _columns(parts: Sequence[Codes]) -> list[Codes]:
    """Codes `[channels, num_quantizers]` of each frame."""
    return [part[:, :, frame] for part in parts for frame in range(part.shape[2])]
