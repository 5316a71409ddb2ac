"""Audio files to pcm, block by block."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from os import PathLike
from typing import BinaryIO

import numpy as np
import soundfile

from soundstream.audio.checks import check_finite, check_format
from soundstream.audio.sndfile import SequentialFile, reason
from soundstream.errors import AudioError
from soundstream.files import open_input

READABLE = "WAV, FLAC, Ogg Vorbis, Ogg Opus, MP3 or AIFF"

_UNKNOWN_FRAMES = 2**62  # libsndfile says 2**63 - 1 when a file does not say how long it is

Source = str | PathLike[str] | BinaryIO


class AudioReader:
    """An open audio file; made by `open_reader`, iterated once."""

    def __init__(self, sound: soundfile.SoundFile, name: str) -> None:
        self._sound = sound
        self._name = name
        self.sample_rate: int = sound.samplerate
        """Hz."""
        self.channels: int = sound.channels
        """1 to 8."""
        self.num_samples: int | None = sound.frames if sound.frames < _UNKNOWN_FRAMES else None
        """Samples per channel; None if the file does not say, as a FLAC stream from a pipe."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield pcm [channels, samples] of one second, the last block shorter.

        Raises:
            AudioError: the file is damaged, ends early, or holds NaN or infinity.
        """
        count = 0
        while (block := self._read_block()).shape[1]:
            check_finite(block, count)
            count += block.shape[1]
            yield block
        if self.num_samples not in (None, count):
            raise AudioError(
                f"{self._name} ends after {count} of {self.num_samples} samples; it is damaged or incomplete"
            )

    def _read_block(self) -> np.ndarray:
        try:
            block = self._sound.read(self.sample_rate, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise AudioError(f"{self._name} is damaged ({reason(error)}); get a whole copy") from error
        return np.ascontiguousarray(block.T)


@contextmanager
def open_reader(source: Source) -> Iterator[AudioReader]:
    """Open an audio file for reading block by block, in constant memory.

    Args:
        source: a path, an open binary file, or "-" for stdin; a pipe is copied to a temporary file first.
    Raises:
        AudioError: the file is missing, empty or no audio, or the codec does not take its rate or channels.
    """
    name = _name_of(source)
    with _open_seekable(source, name) as file, _open_sound(file, name) as sound:
        check_format(sound.samplerate, sound.channels)
        yield AudioReader(sound, name)


def read(source: Source) -> tuple[np.ndarray, int]:
    """Read a whole audio file: pcm [channels, samples] and its sample rate in Hz.

    Raises:
        AudioError: as `open_reader` and its blocks.
    """
    with open_reader(source) as reader:
        empty = np.zeros((reader.channels, 0), np.float32)
        return np.concatenate([empty, *reader], axis=1), reader.sample_rate


def _name_of(source: Source) -> str:
    if isinstance(source, str | PathLike):
        return "stdin" if source == "-" else str(source)
    return str(getattr(source, "name", "the audio"))


@contextmanager
def _open_seekable(source: Source, name: str) -> Iterator[BinaryIO]:
    opened = open_input(source) if isinstance(source, str | PathLike) else nullcontext(source)
    with opened as file:
        if file.seekable():
            yield file
            return
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(file, spool)
            spool.seek(0)
            yield spool


def _open_sound(file: BinaryIO, name: str) -> soundfile.SoundFile:
    start = file.tell()
    if file.seek(0, 2) == start:
        raise AudioError(f"{name} is empty; expected {READABLE}")
    file.seek(start)
    try:
        return SequentialFile(file)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: headerless audio, named .raw
        raise AudioError(f"{name} is not audio that can be read ({reason(error)}); expected {READABLE}") from error
