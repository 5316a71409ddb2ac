"""What libsndfile decodes: the streams of a file, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

import numpy as np
import soundfile

from soundstream.audio.formats.views import Gap, Part, View
from soundstream.audio.resample import Resampler, resampled_length
from soundstream.errors import AudioError

_UNKNOWN_FRAMES = 2**62  # libsndfile says 2**63 - 1 when a file does not say how long it is
_MAX_PARTS = 10_000
_FLOATS = {"FLOAT", "DOUBLE"}


class SequentialFile(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that soundfile reads without seeking after each block.

    Such a seek resets the Opus decoder, which is heard, and fails in FLAC files of unknown length.
    """

    def seekable(self) -> bool:
        return False

    def blocks_of(self, frames: int, most: int | None) -> Iterator[np.ndarray]:
        """Yield float32 [channels, samples] of so many samples, up to `most` of them or to the end."""
        while (size := frames if most is None else min(frames, most)) and len(block := self._next(size)):
            most = None if most is None else most - len(block)
            yield np.ascontiguousarray(block.T)

    def _next(self, frames: int) -> np.ndarray:
        try:
            return self.read(frames, dtype="float32", always_2d=True)
        finally:
            if isinstance(self.name, View):
                self.name.check()  # soundfile takes an error for the end


class _Stream:
    """One part of a file, and what libsndfile says of it."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        with self._open(file, part) as sound:
            if sound.format == "MP3" and not part.overstated:  # of a free bit rate: nobody knows its length
                part = replace(part, overstated=_UNKNOWN_FRAMES, trusted=False)
            self.sample_rate: int = sound.samplerate
            self.channels: int = sound.channels
            self.is_float: bool = sound.subtype in _FLOATS
            known = part.trusted and sound.frames < _UNKNOWN_FRAMES
            self.num_samples: int | None = part.samples if part.samples is not None else sound.frames if known else None
        self.part = part
        self._file = file

    def _open(self, file: BinaryIO, part: Part) -> SequentialFile:
        view = View(file, part.pieces, part.overstated)
        try:
            return SequentialFile(view)
        finally:
            view.check()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield pcm [channels, samples] of a second, channels in the order of WAV."""
        with self._open(self._file, self.part) as sound:
            for _ in sound.blocks_of(self.sample_rate, self.part.skip):
                pass
            for pcm in sound.blocks_of(self.sample_rate, self.part.samples):
                yield pcm[list(self.part.order)] if self.part.order else pcm

    def gaps(self, start_s: float, samples: int) -> list[Gap]:
        """What is missing from it in a file where it begins at `start_s`, now that so many samples of it were read."""
        placed = (gap.placed(start_s, samples / self.sample_rate) for gap in self.part.gaps)
        return [gap for gap in placed if gap]


class Sound:
    """The streams of a file as one sound, with the sample rate and channels of the first.

    Args:
        file: seekable.
        parts: one or more.
        name: of the file, for messages.
    Raises:
        soundfile.SoundFileError, TypeError: libsndfile cannot read it.
        AudioError: the number of channels changes.
    """

    def __init__(self, file: BinaryIO, parts: Sequence[Part], name: str) -> None:
        if len(parts) > _MAX_PARTS:
            raise AudioError(f"{name} holds {len(parts):,} sounds, joined; at most {_MAX_PARTS:,} are read as one")
        self._streams = [_Stream(file, part) for part in parts]
        self._name = name
        first, *others = self._streams
        self.sample_rate = first.sample_rate
        """Hz."""
        self.channels = first.channels
        for place, stream in enumerate(others, start=2):
            if stream.channels != first.channels:
                raise AudioError(
                    f"{name} holds {len(parts)} sounds, joined; number {place} has {stream.channels} channels, the "
                    f"first {first.channels}; encode them one by one"
                )
        lengths = [self._length(stream) for stream in self._streams]
        self.num_samples = None if None in lengths else sum(length or 0 for length in lengths)
        """Samples per channel, if that is certain."""
        self.is_float = any(stream.is_float for stream in self._streams)
        """Whether samples beyond full scale were stored on purpose."""
        self.gaps: list[Gap] = []
        """What is missing, of the streams that were read."""

    def _length(self, stream: _Stream) -> int | None:
        if stream.num_samples is None:
            return None
        return resampled_length(stream.num_samples, stream.sample_rate, self.sample_rate)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield pcm [channels, samples] of about a second.

        Raises:
            AudioError: it is damaged, or ends too early.
        """
        given = 0
        for stream in self._streams:
            start, read = given, 0
            resampler = Resampler(stream.sample_rate, self.sample_rate, self.channels)
            for block in self._whole(stream, start):
                read += block.shape[1]
                block = resampler.push(block)
                given += block.shape[1]
                yield block
            if (tail := resampler.flush()).shape[1]:
                given += tail.shape[1]
                yield tail
            self.gaps += stream.gaps(start / self.sample_rate, read)

    def _whole(self, stream: _Stream, start: int) -> Iterator[np.ndarray]:
        """The blocks of a stream, and an error if these are not all."""
        read = 0
        try:
            for block in stream.blocks():
                read += block.shape[1]
                yield block
        except soundfile.SoundFileError as error:
            place_s = start / self.sample_rate + read / stream.sample_rate
            raise AudioError(
                f"{self._name} is damaged behind {place_s:.2f} s ({reason(error)}); get a whole copy"
            ) from error
        if stream.num_samples not in (None, read):
            raise AudioError(
                f"{self._name} ends after {read} of {stream.num_samples} samples; it is damaged or incomplete"
            )


def reason(error: Exception) -> str:
    """What libsndfile says went wrong, without its frills."""
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".")
