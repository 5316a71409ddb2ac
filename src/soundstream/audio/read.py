"""Audio files to pcm, block by block, and a word on what is missing in them."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from os import PathLike
from typing import BinaryIO, Protocol

import numpy as np
import soundfile

from soundstream.audio.checks import Level, check_finite, check_format
from soundstream.audio.formats.split import find_parts
from soundstream.audio.formats.views import Gap
from soundstream.audio.frames import FrameSound
from soundstream.audio.media import READABLE, open_media
from soundstream.audio.metadata import file_tags
from soundstream.audio.raw import Raw, open_raw
from soundstream.audio.sndfile import Sound, reason
from soundstream.errors import AudioError, IncompleteAudio
from soundstream.system.files import keeping, name_of, open_input, reading

_OWN = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aiff", ".aif", ".au", ".caf", ".w64", ".sph"}
_MEDIA = {".m4a", ".m4b", ".aac", ".webm", ".mka", ".wma", ".mp4", ".mkv", ".mov", ".3gp", ".amr", ".wv", ".ape"}
SUFFIXES = frozenset(_OWN | _MEDIA)
"""What names of audio files end with in folders that are searched; the second half needs PyAV or ffmpeg."""

_MAX_WARNINGS = 3
"""Gaps of a file that are told one by one."""

Source = str | PathLike[str] | BinaryIO


class _Sound(Protocol):
    """Something decoded, block by block."""

    @property
    def num_samples(self) -> int | None: ...

    sample_rate: int
    channels: int
    is_float: bool
    gaps: list[Gap]

    def blocks(self) -> Iterator[np.ndarray]: ...


class AudioReader:
    """An open audio file; made by `open_reader`, iterated once."""

    def __init__(self, sound: _Sound, name: str, tags: Callable[[], dict[str, str]] = dict) -> None:
        self._sound = sound
        self._tags = tags
        self.name = name
        """What messages call it."""
        self.sample_rate = sound.sample_rate
        """Hz."""
        self.channels = sound.channels
        """1 to 8."""
        self.num_samples = sound.num_samples
        """Samples per channel; None if that is not certain before they were read, as of a stream from a pipe."""
        self.incomplete: list[str] = []
        """What was warned of: sound that is missing. Known at the end."""

    @property
    def tags(self) -> dict[str, str]:
        """Title, artist and the like by name (`soundstream.audio.TAGS`); ask for them before the sound is read."""
        return self._tags()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield pcm [channels, samples] of about a second, the last block shorter.

        Raises:
            AudioError: the file is damaged, holds NaN or infinity, or is of floats that reach 4 times full scale.
        Warns:
            IncompleteAudio: sound is missing, at the end or inside.
            LoudAudio: floats go beyond full scale.
        """
        count, level = 0, Level(self.name)
        with reading(self.name):
            for block in self._sound.blocks():
                if self._sound.is_float:
                    level.take(block, count)
                else:
                    check_finite(block, count)
                count += block.shape[1]
                yield block
        level.warn()
        self._warn_of_gaps()

    def _warn_of_gaps(self) -> None:
        gaps = self._sound.gaps
        self.incomplete = [f"{self.name}: {gap}" for gap in gaps[:_MAX_WARNINGS]]
        if more := gaps[_MAX_WARNINGS:]:
            known_s = sum(gap.missing_s or 0 for gap in more)
            seconds = f", {known_s:.2f} s that are known of" if known_s else ""
            self.incomplete.append(f"{self.name}: {len(more)} more gaps{seconds}")
        for text in self.incomplete:
            warnings.warn(text, IncompleteAudio, stacklevel=3)


@contextmanager
def open_reader(source: Source, raw: Raw | None = None) -> Iterator[AudioReader]:
    """Open an audio file for reading block by block, in constant memory.

    Args:
        source: a path, an open binary file, or "-" for stdin; a pipe is copied to a temporary file first, unless it
            is raw.
        raw: what headerless sound is made of; None is a file that says it itself.
    Raises:
        AudioError: the file is missing, empty or no audio, or the codec does not take its rate or channels.
    """
    name = name_of(source) or "the audio"
    opened = open_input(source) if isinstance(source, str | PathLike) else nullcontext(source)
    with ExitStack() as stack:
        file = stack.enter_context(opened)
        if raw:
            yield _checked(stack.enter_context(open_raw(file, raw)), name, dict)
            return
        with reading(name):
            seekable = stack.enter_context(_seekable(file))
            sound = _open_sound(seekable, name, stack)
        yield _checked(sound, name, lambda: sound.tags if isinstance(sound, FrameSound) else file_tags(seekable))


def _checked(sound: _Sound, name: str, tags: Callable[[], dict[str, str]]) -> AudioReader:
    check_format(sound.sample_rate, sound.channels)
    return AudioReader(sound, name, tags)


def read(source: Source) -> tuple[np.ndarray, int]:
    """Read a whole audio file: pcm [channels, samples] and its sample rate in Hz.

    Raises:
        AudioError: as `open_reader` and its blocks.
    """
    with open_reader(source) as reader:
        empty = np.zeros((reader.channels, 0), np.float32)
        return np.concatenate([empty, *reader], axis=1), reader.sample_rate


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    if file.seekable():
        yield file
        return
    with keeping("what comes from a pipe"), tempfile.TemporaryFile() as spool:
        shutil.copyfileobj(file, spool)
        yield spool


def _open_sound(file: BinaryIO, name: str, stack: ExitStack) -> _Sound:
    if not file.seek(0, 2):
        raise AudioError(f"{name} is empty; expected {READABLE}")
    try:
        parts = find_parts(file)
        return Sound(file, parts, name) if parts else stack.enter_context(open_media(file, name, "unknown codec"))
    except soundfile.SoundFileError as error:
        return stack.enter_context(open_media(file, name, reason(error)))
