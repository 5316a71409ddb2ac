"""Pcm to audio files, block by block."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from soundstream.audio.checks import to_int16
from soundstream.audio.formats import ogg
from soundstream.audio.metadata import TAGS
from soundstream.audio.sndfile import reason
from soundstream.audio.wav import BYTES, WAV_BYTES, WavPipe, to_int24
from soundstream.errors import AudioError, OutputError
from soundstream.system.files import atomic_output, stdout, writing

_FORMATS: dict[str, tuple[str, dict[str | None, str]]] = {
    ".wav": ("WAV", {None: "PCM_16", "16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}),
    ".flac": ("FLAC", {None: "PCM_16", "16": "PCM_16", "24": "PCM_24"}),
    ".ogg": ("OGG", {None: "VORBIS"}),
    ".opus": ("OGG", {None: "OPUS"}),
}
WRITABLE = tuple(_FORMATS)
"""What names of files that can be written end with."""
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

    def __init__(self, sound: soundfile.SoundFile, output: _NotingFile, name: str, room: int) -> None:
        self._sound = sound
        self._output = output
        self._name = name
        self._room = room  # samples per channel that it can hold
        order = ogg.WAV_ORDER.get(sound.channels, ()) if sound.format == "OGG" else ()
        self._order = [order.index(channel) for channel in range(len(order))]  # of Vorbis and Opus
        self.num_samples = 0
        """Samples per channel so far."""

    def write(self, pcm: np.ndarray) -> None:
        """Append pcm [channels, samples]; what lies outside [-1, 1] is clipped, unless it is written as float.

        Raises:
            AudioError: the number of channels is another, or a WAV file would pass 4 GiB.
            OutputError: the disk is full.
        """
        _check_shape(pcm, self._sound.channels)
        self.num_samples += pcm.shape[1]
        if self.num_samples > self._room:
            raise _too_long(self._name)
        if self._order:
            pcm = pcm[self._order]
        samples = _samples(pcm.T, self._sound.subtype)
        for start in range(0, len(samples), _WRITE_SAMPLES):
            self._sound.write(np.ascontiguousarray(samples[start : start + _WRITE_SAMPLES]))
            self._output.check()


class PipeWriter:
    """WAV that goes to stdout as it comes; made by `open_writer`."""

    def __init__(self, pipe: WavPipe, channels: int) -> None:
        self._pipe, self._channels = pipe, channels

    def write(self, pcm: np.ndarray) -> None:
        """Write pcm [channels, samples] and flush it; what lies outside [-1, 1] is clipped, unless it is float.

        Raises:
            AudioError: the number of channels is another.
        """
        _check_shape(pcm, self._channels)
        self._pipe.write(pcm)


def _samples(pcm: np.ndarray, subtype: str) -> np.ndarray:
    """Samples as libsndfile is to have them, which wraps what it has to round beyond full scale."""
    if subtype == "PCM_16":
        return to_int16(pcm)
    if subtype == "PCM_24":
        return to_int24(pcm) << 8
    return pcm if subtype == "FLOAT" else np.clip(pcm, -1, 1)


@contextmanager
def open_writer(
    path: str | PathLike[str],
    sample_rate: int,
    channels: int,
    force: bool = False,
    *,
    bits: str | int | None = None,
    num_samples: int | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[AudioWriter | PipeWriter]:
    """Open an audio file for writing block by block; it appears under its name only when the block ends well.

    Args:
        path: the suffix chooses the format: .wav, .flac, .ogg (Vorbis) or .opus; "-" is WAV on stdout, which goes out
            as it is written.
        force: replace a file that exists already.
        bits: of a sample in WAV or FLAC: 16 as by default, 24, or float, which WAV holds.
        num_samples: samples per channel that will come, if that is known.
        tags: text by name; those in `TAGS` go into the file.
    Raises:
        AudioError: the suffix is unknown, the format does not hold this rate, these channels, these bits or no samples
            at all, or a WAV file would pass 4 GiB.
        OutputError: the file exists already or cannot be written.
    """
    bits = None if bits is None else str(bits)
    container, subtype = _format_of(path, bits)
    if path == "-":
        with writing("stdout"):
            pipe = WavPipe(stdout(), sample_rate, channels, bits or "16", num_samples)
            yield PipeWriter(pipe, channels)
            pipe.finish()
        return
    name = str(path)
    room = WAV_BYTES // (BYTES[bits or "16"] * channels) if container == "WAV" else sys.maxsize
    if num_samples is not None and num_samples > room:
        raise _too_long(name)
    with atomic_output(path, force) as file:
        output = _NotingFile(file, name)
        with _new_sound(output, name, sample_rate, channels, (container, subtype)) as sound:
            _write_tags(sound, tags or {})
            yield (writer := AudioWriter(sound, output, name, room))
        output.check()
        if not writer.num_samples and subtype != "VORBIS" and container != "WAV":
            raise AudioError(f"{name} would hold no sound, which {Path(name).suffix} cannot; write .wav or .ogg")


def _check_shape(pcm: np.ndarray, channels: int) -> None:
    if pcm.ndim != 2 or pcm.shape[0] != channels:
        raise AudioError(f"audio has shape {list(pcm.shape)}; expected [{channels}, samples]")


def _too_long(name: str) -> AudioError:
    return AudioError(f"{name} would pass the 4 GiB that a WAV file can hold; write .flac")


def _new_sound(
    file: _NotingFile, name: str, sample_rate: int, channels: int, file_format: tuple[str, str]
) -> soundfile.SoundFile:
    container, subtype = file_format
    try:
        return soundfile.SoundFile(file, "w", sample_rate, channels, subtype, format=container)
    except soundfile.SoundFileError as error:
        advice = "write .wav, or give another rate with --to, such as 48000" if subtype == "OPUS" else "write .wav"
        raise AudioError(
            f"{name} cannot hold {channels} channels at {sample_rate} Hz ({reason(error)}); {advice}"
        ) from error


def _write_tags(sound: soundfile.SoundFile, tags: Mapping[str, str]) -> None:
    for name, value in tags.items():
        if name.lower() in TAGS and value:
            setattr(sound, name.lower(), value.replace("\0", " "))


def _format_of(path: str | PathLike[str], bits: str | None) -> tuple[str, str]:
    """Container and encoding, as libsndfile calls them."""
    suffix = ".wav" if path == "-" else Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise AudioError(f"cannot write {path}: expected a name that ends in {', '.join(_FORMATS)}")
    container, subtypes = _FORMATS[suffix]
    if bits not in subtypes:
        choice = ", ".join(name for name in subtypes if name) or "none: it has no samples of its own"
        raise AudioError(f"cannot write {path} with bits {bits}; expected of {suffix} {choice}")
    return container, subtypes[bits]
