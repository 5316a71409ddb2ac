"""Live sound from files and pipes, and to pipes: piece by piece, without waiting for an end."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from soundstream import audio
from soundstream.errors import AudioError, ConfigError

Array = NDArray[np.float32]

PIECE_S = 0.01
"""Seconds of sound that are read at once."""
_UNKNOWN = 2**32 - 1


class Source(NamedTuple):
    """Sound that comes piece by piece."""

    sample_rate: int
    """Hz."""
    channels: int
    pieces: Iterator[Array]
    """pcm `[channels, samples]`, of a length for real time."""


@contextmanager
def open_file(path: str) -> Iterator[Source]:
    """Sound of a file.

    Raises:
        AudioError: it cannot be read; also while it is read.
    """
    with audio.open_reader(path) as reader:
        yield Source(reader.sample_rate, reader.channels, _cut(reader, piece_samples(reader.sample_rate)))


@contextmanager
def open_stdin(raw_rate: int | None, channels: int) -> Iterator[Source]:
    """Sound of a pipe as it comes: WAV, or headerless 16-bit samples, low byte first, channels interleaved.

    Args:
        raw_rate: Hz of headerless sound; None is WAV, which says itself.
        channels: of headerless sound.
    Raises:
        AudioError: it is neither; WAV that ends early simply ends.
    """
    raw = {"samplerate": raw_rate, "channels": channels, "format": "RAW", "subtype": "PCM_16", "endian": "LITTLE"}
    try:
        sound = soundfile.SoundFile(sys.stdin.fileno(), closefd=False, **(raw if raw_rate else {}))
    except soundfile.SoundFileError as error:
        raise AudioError("stdin is no WAV; give the sample rate of headerless 16-bit sound with --raw") from error
    with sound:
        audio.check_format(sound.samplerate, sound.channels)
        yield Source(sound.samplerate, sound.channels, _read(sound))


def piece_samples(sample_rate: int) -> int:
    """Samples of a piece."""
    return round(PIECE_S * sample_rate)


def mix(source: Source, channels: int) -> Iterator[Array]:
    """The source's sound with so many channels: its own number, or one that is the mean of all.

    Raises:
        ConfigError: it is another number.
    """
    if channels not in (1, source.channels):
        raise ConfigError(f"the sound has {source.channels} channels, not {channels}; expected that number, or 1")
    if channels == source.channels:
        return source.pieces
    return (pcm.mean(axis=0, keepdims=True) for pcm in source.pieces)


def _cut(blocks: Iterable[Array], samples: int) -> Iterator[Array]:
    for block in blocks:
        for start in range(0, block.shape[1], samples):
            yield block[:, start : start + samples]


def _read(sound: soundfile.SoundFile) -> Iterator[Array]:
    while len(piece := sound.read(piece_samples(sound.samplerate), dtype="float32", always_2d=True)):
        yield np.ascontiguousarray(piece.T)


class WavPipe:
    """Writes WAV of 16 bits to a pipe at once; its header gives no length, which readers of streams understand."""

    def __init__(self, stream: BinaryIO, sample_rate: int, channels: int) -> None:
        self._stream = stream
        form = struct.pack("<HHIIHH", 1, channels, sample_rate, 2 * channels * sample_rate, 2 * channels, 16)
        head = struct.pack("<4sI4s4sI", b"RIFF", _UNKNOWN, b"WAVE", b"fmt ", len(form))
        self._put(head + form + struct.pack("<4sI", b"data", _UNKNOWN))

    def write(self, pcm: Array) -> None:
        """Append pcm `[channels, samples]`; what lies outside [-1, 1] is clipped."""
        self._put(audio.to_int16(pcm.T).astype("<i2").tobytes())

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self._stream.flush()
