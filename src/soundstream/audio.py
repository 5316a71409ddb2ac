"""Audio files to pcm and back, and the rules that pcm keeps.

pcm is float32 [channels, samples] in [-1, 1], 1 to 8 channels, 8,000 to 192,000 Hz.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from soundstream.errors import AudioError, OutputError
from soundstream.files import atomic_output, open_input

MAX_CHANNELS = 8
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 8_000, 192_000
READABLE = "WAV, FLAC, Ogg Vorbis, Ogg Opus, MP3 or AIFF"

_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
}
_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}
_WAV_BYTES = 2**32 - 1024  # sizes in a WAV file have 32 bits
_WRITE_SAMPLES = 1 << 16  # libsndfile's Vorbis encoder overflows its stack on far longer blocks
_UNKNOWN_FRAMES = 2**62  # libsndfile says 2**63 - 1 when a file does not say how long it is

Source = str | PathLike[str] | BinaryIO


def check(pcm: np.ndarray, sample_rate: int) -> np.ndarray:
    """Bring audio into the one form the codec takes, float32 [channels, samples].

    Args:
        pcm: [channels, samples] or [samples]; float, or int16 or int32 to be divided by full scale.
        sample_rate: Hz, 8,000 to 192,000.
    Raises:
        AudioError: the type, shape or rate is another, or a value is NaN or infinite.
    """
    pcm = np.atleast_2d(np.asarray(pcm))
    if pcm.ndim > 2:
        raise AudioError(f"audio has shape {list(pcm.shape)}; expected [channels, samples] or [samples]")
    check_format(sample_rate, pcm.shape[0])
    pcm = _to_float32(pcm)
    check_finite(pcm)
    return pcm


def check_format(sample_rate: int, channels: int) -> None:
    """Refuse a sample rate or a number of channels that the codec does not take.

    Raises:
        AudioError: sample_rate is not 8,000 to 192,000 Hz, or channels not 1 to 8.
    """
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE or sample_rate != int(sample_rate):
        raise AudioError(f"sample rate {sample_rate} Hz; expected whole Hz from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"audio has {channels} channels; expected 1 to {MAX_CHANNELS}, as [channels, samples]")


def check_finite(pcm: np.ndarray, first_sample: int = 0) -> None:
    """Refuse NaN and infinity in pcm [channels, samples].

    Args:
        first_sample: where the block starts in its file.
    Raises:
        AudioError: a value is not finite; the message says which.
    """
    bad = ~np.isfinite(pcm)
    if bad.any():
        sample = int(bad.any(axis=0).argmax())
        channel = int(bad[:, sample].argmax())
        raise AudioError(f"audio holds {pcm[channel, sample]} at sample {first_sample + sample} of channel {channel}")


def _to_float32(pcm: np.ndarray) -> np.ndarray:
    if pcm.dtype in _FULL_SCALE:
        return (pcm / _FULL_SCALE[pcm.dtype]).astype(np.float32)
    if not np.issubdtype(pcm.dtype, np.floating):
        raise AudioError(f"audio of type {pcm.dtype}; expected float in [-1, 1], int16 or int32")
    with np.errstate(over="ignore"):
        return pcm.astype(np.float32, order="C")


class _SequentialFile(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that soundfile reads without seeking after each block.

    Such a seek resets the Opus decoder, which is heard, and fails in FLAC files of unknown length.
    """

    def seekable(self) -> bool:
        return False


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
            raise AudioError(f"{self._name} is damaged ({_reason(error)}); get a whole copy") from error
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
        return _SequentialFile(file)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: headerless audio, named .raw
        raise AudioError(f"{name} is not audio that can be read ({_reason(error)}); expected {READABLE}") from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".")


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
        self._room = _WAV_BYTES // (2 * sound.channels) if sound.format == "WAV" else sys.maxsize

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


def to_int16(pcm: np.ndarray) -> np.ndarray:
    """Samples of 16 bits; what lies outside [-1, 1] is clipped."""
    return np.clip(np.rint(pcm * 2.0**15), -(2**15), 2**15 - 1).astype(np.int16)


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
            f"{name} cannot hold {channels} channels at {sample_rate} Hz ({_reason(error)}); write .wav"
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


class Resampler:
    """Changes the sample rate of a stream; equal rates pass through.

    In all, `n` samples give `resampled_length(n, from_rate, to_rate)`, without a shift in time.

    Args:
        from_rate, to_rate: Hz.
        channels: rows of the pcm that will be pushed.
    """

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        self.from_rate = from_rate
        self.to_rate = to_rate
        self._taken = 0
        self._given = 0
        self._stream = None if from_rate == to_rate else soxr.ResampleStream(from_rate, to_rate, channels)
        self._channels = channels

    def push(self, pcm: np.ndarray) -> np.ndarray:
        """Take pcm [channels, samples] of any length and give the samples that are ready, often none."""
        self._taken += pcm.shape[1]
        return self._resample(pcm)

    def flush(self) -> np.ndarray:
        """Give the tail; the stream is over."""
        left = resampled_length(self._taken, self.from_rate, self.to_rate) - self._given
        silence = np.zeros((self._channels, -(-self.from_rate // self.to_rate)), np.float32)
        return self._resample(silence, last=True)[:, :left]

    def _resample(self, pcm: np.ndarray, last: bool = False) -> np.ndarray:
        if self._stream is not None:
            pcm = self._stream.resample_chunk(np.ascontiguousarray(pcm.T, np.float32), last).T
        self._given += pcm.shape[1]
        return np.ascontiguousarray(pcm)


def resampled_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Samples after resampling: num_samples * to_rate / from_rate, rounded up.

    Rounding up means that the way back never falls short of num_samples.
    """
    return -(-num_samples * to_rate // from_rate)


def resample(pcm: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample whole pcm [channels, samples]; see `Resampler`."""
    resampler = Resampler(from_rate, to_rate, pcm.shape[0])
    return np.concatenate([resampler.push(pcm), resampler.flush()], axis=1)
