"""Pcm to audio files, block by block."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from soundstream.audio.checks import to_int16
from soundstream.audio.sndfile import reason
from soundstream.errors import AudioError, OutputError
from soundstream.files import atomic_output

WAV_BYTES = 2**32 - 1024
"""What a WAV file can hold: its sizes have 32 bits."""

_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
}
_WRITE_SAMPLES = 1 << 16  # libsndfile's Vorbis encoder overflows its stack on far longer blocks


class _NotingFile:
    """A file that notes a failed write for `check`, since libsndfile may pass over it in silence."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        with self._note():
            self._file.write(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> None:
        with self._note():
            self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    @contextmanager
    def _note(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = error

    def check(self) -> None:
        """Raise the OutputError of a write that failed."""
        if self._error:
            raise OutputError(f"cannot write {self._name}: {self._error.strerror}") from self._error


class AudioWriter:
    """An audio file being written; made by `open_writer`."""

    def __init__(self, sound: soundfile.SoundFile, output: _NotingFile, name: str) -> None:
        self._sound = sound
        self._output = output
        self._name = name
        self._room = WAV_BYTES // (2 * sound.channels) if sound.format == "WAV" else sys.maxsize

    def write(self, pcm: np.ndarray) -> None:
        """Append pcm [channels, samples]; what lies outside [-1, 1] is clipped.

        Raises:
            AudioError: the number of channels is another, or a WAV file would pass 4 GiB.
            OutputError: the disk is full.
        """
        if pcm.ndim != 2 or pcm.shape[0] != self._sound.channels:
            raise AudioError(f"audio has shape {list(pcm.shape)}; expected [{self._sound.channels}, samples]")
        self._room -= pcm.shape[1]
        if self._room < 0:
            raise AudioError(f"{self._name} would pass the 4 GiB that a WAV file can hold; write .flac")
        samples = to_int16(pcm.T) if self._sound.subtype == "PCM_16" else np.clip(pcm.T, -1, 1)
        for start in range(0, len(samples), _WRITE_SAMPLES):
            self._sound.write(np.ascontiguousarray(samples[start : start + _WRITE_SAMPLES]))
            self._output.check()


@contextmanager
def open_writer(
    path: str | PathLike[str], sample_rate: int, channels: int, force: bool = False
) -> Iterator[AudioWriter]:
    """Open an audio file for writing block by block; it appears under its name only when the block ends well.

    Args:
        path: the suffix chooses the format: 16-bit .wav and .flac, or .ogg (Vorbis); "-" is WAV on stdout,
            which comes out after the last block, with its sizes right.
        force: replace a file that exists already.
    Raises:
        AudioError: the suffix is unknown, or the format does not hold this rate or these channels.
        OutputError: the file exists already or cannot be written.
    """
    name = "stdout" if path == "-" else str(path)
    file_format = _format_of(path)
    with _open_output(path, force) as file:
        output = _NotingFile(file, name)
        with _new_sound(output, name, sample_rate, channels, file_format) as sound:
            yield AudioWriter(sound, output, name)
        output.check()


def _new_sound(
    file: _NotingFile, name: str, sample_rate: int, channels: int, file_format: tuple[str, str]
) -> soundfile.SoundFile:
    container, subtype = file_format
    try:
        return soundfile.SoundFile(file, "w", sample_rate, channels, subtype, format=container)
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{name} cannot hold {channels} channels at {sample_rate} Hz ({reason(error)}); write .wav"
        ) from error


def _format_of(path: str | PathLike[str]) -> tuple[str, str]:
    suffix = ".wav" if path == "-" else Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise AudioError(f"cannot write {path}: expected a name that ends in {', '.join(_FORMATS)}")
    return _FORMATS[suffix]


def _open_output(path: str | PathLike[str], force: bool) -> AbstractContextManager[BinaryIO]:
    return _stdout_spool() if path == "-" else atomic_output(path, force)


@contextmanager
def _stdout_spool() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as spool:
        yield spool
        spool.seek(0)
        shutil.copyfileobj(spool, sys.stdout.buffer)
        sys.stdout.buffer.flush()
