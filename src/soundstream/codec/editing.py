"""Cutting and joining files without decoding their audio: only codes are taken out and packed again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from soundstream.audio.blocks import taken
from soundstream.bitstream import Header, Reader, Writer
from soundstream.codec import Codec
from soundstream.errors import ConfigError
from soundstream.system.files import named

Codes = NDArray[np.int64]
JOINED = ("model_id", "sample_rate", "channels", "codec_sample_rate", "hop_length", "codebook_bits")
"""Fields of the header in which files that are joined must agree."""


def cut(codec: Codec, reader: Reader, stream: BinaryIO, start_s: float, end_s: float | None = None) -> None:
    """Write a part of a file; it starts at the frame that holds `start_s` and ends at the sample of `end_s`.

    The decoder starts afresh there, so the first fraction of a second may differ from the whole file's.

    Args:
        reader: of a stream that can seek.
        end_s: the end of the file if None.
    Raises:
        ConfigError: the part is empty or begins after the end.
        BitstreamError: the file is damaged or of another model.
    """
    header = reader.header
    with named(reader.name):
        codec.check_model(header)
    first = int(start_s * header.frame_rate)
    reader.skip_to(first)
    start, last = _samples(header, first), None if end_s is None else round(end_s * header.sample_rate)
    if start_s < 0 or (last is not None and last <= start):
        raise ConfigError(f"the part from {start_s} s to {end_s} s is empty")
    frames = None if last is None else _frames(codec, last - start, header)
    writer = Writer(stream, dataclasses.replace(header, num_samples=None))
    parts = taken(codec.coding.unpack(reader, header), first - reader.frames, frames)
    written = 0
    for packet in codec.coding.pack(parts, header.entropy_mode):
        writer.write(packet)
        written += packet.frames
    if not written:
        raise ConfigError(f"the file ends before {start_s} s")
    writer.finish(_left(reader, header, start, last, written))


def cat(codec: Codec, readers: Sequence[Reader], stream: BinaryIO) -> None:
    """Write one file of several, which must agree in model, rate and channels; tags and entropy mode are the first's.

    Each file but the last is filled up to a whole frame, 13 ms with the default model.

    Raises:
        ConfigError: there is no file, or two disagree.
        BitstreamError: a file is damaged or of another model.
    """
    if not readers:
        raise ConfigError("there are no files to join")
    headers = [reader.header for reader in readers]
    for reader in readers:
        with named(reader.name):
            _check_joins(codec, reader.header, headers[0])
    most = max(header.num_quantizers for header in headers)
    writer = Writer(stream, dataclasses.replace(headers[0], num_quantizers=most, num_samples=None))
    for packet in codec.coding.pack(_chained(codec, readers), headers[0].entropy_mode):
        writer.write(packet)
    writer.finish(_joined_samples(readers))


def _check_joins(codec: Codec, header: Header, first: Header) -> None:
    codec.check_model(header)
    for name in JOINED:
        if getattr(header, name) != getattr(first, name):
            raise ConfigError(f"{name} is {getattr(header, name)}; that of the first file is {getattr(first, name)}")


def _chained(codec: Codec, readers: Sequence[Reader]) -> Iterator[Codes]:
    for reader in readers:
        with named(reader.name):
            yield from codec.coding.unpack(reader, reader.header)


def _joined_samples(readers: Sequence[Reader]) -> int:
    """All frames of the files before the last, and the samples of the last."""
    header = readers[0].header
    assert readers[-1].num_samples is not None
    return _samples(header, sum(reader.frames for reader in readers[:-1])) + readers[-1].num_samples


def _samples(header: Header, frames: int) -> int:
    """Samples of the original that whole frames cover."""
    return frames * header.hop_length * header.sample_rate // header.codec_sample_rate


def _frames(codec: Codec, samples: int, header: Header) -> int:
    """Frames that a decoder needs for so many samples of the original."""
    inner = -(-samples * header.codec_sample_rate // header.sample_rate)
    return -(-(inner + codec.spec.delay_samples) // header.hop_length)


def _left(reader: Reader, header: Header, start: int, last: int | None, frames: int) -> int:
    """Samples of a part that has so many frames."""
    ends = [sample for sample in (last, reader.num_samples) if sample is not None]
    covered = _samples(header, frames)
    return min(covered, max(0, min(ends) - start)) if ends else covered
