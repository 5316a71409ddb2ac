"""Live sound from files and pipes, and to pipes: piece by piece, without waiting for an end."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import soundfile

from soundstream import audio
from soundstream.arrays import Array
from soundstream.errors import AudioError, ConfigError

PIECE_S = 0.01
"""Seconds of sound that are read at once."""


class Source(NamedTuple):
    """Sound that comes piece by piece."""

    sample_rate: int
    """Hz."""
    channels: int
    pieces: Iterator[Array]
    """pcm `[channels, samples]`, of a length for real time."""


@contextmanager
def open_file(path: str, raw: audio.Raw | None = None) -> Iterator[Source]:
    """Sound of a file.

    Args:
        raw: what headerless sound is made of; None is a file that says it itself.
    Raises:
        AudioError: it cannot be read; also while it is read.
    """
    with audio.open_reader(path, raw) as reader:
        yield Source(reader.sample_rate, reader.channels, _cut(reader, piece_samples(reader.sample_rate)))


@contextmanager
def open_stdin(raw: audio.Raw | None = None) -> Iterator[Source]:
    """Sound of a pipe as it comes: WAV, or headerless samples.

    Args:
        raw: what headerless sound is made of; None is WAV, which says it itself.
    Raises:
        AudioError: it is neither; WAV that ends early simply ends.
    """
    descriptor = sys.stdin.fileno()
    try:
        sound = raw.open(descriptor) if raw else soundfile.SoundFile(descriptor, closefd=False)
    except soundfile.SoundFileError as error:
        raise AudioError("stdin is no WAV; say what headerless sound is made of with --raw") from error
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
