"""Headerless samples: what a person has to say of them, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from soundstream.audio.checks import check_format
from soundstream.audio.formats.views import Gap, View
from soundstream.audio.sndfile import SequentialFile
from soundstream.errors import ConfigError

_SUBTYPES = {
    "u8": ("PCM_U8", 1),
    "s8": ("PCM_S8", 1),
    "s16": ("PCM_16", 2),
    "s24": ("PCM_24", 3),
    "s32": ("PCM_32", 4),
    "f32": ("FLOAT", 4),
    "f64": ("DOUBLE", 8),
    "ulaw": ("ULAW", 1),
    "alaw": ("ALAW", 1),
}
"""libsndfile's name and the bytes of a sample."""
_TEXT = re.compile(rf"(\d+)(?::(\d+)(?::({'|'.join(_SUBTYPES)})(le|be)?)?)?")


@dataclass(frozen=True)
class Raw:
    """What headerless sound is made of."""

    sample_rate: int
    """Hz."""
    channels: int = 1
    """They take turns, sample by sample."""
    encoding: str = "s16"
    """u8, s8, s16, s24, s32, f32, f64, ulaw or alaw."""
    big_endian: bool = False

    @classmethod
    def parse(cls, text: str, channels: int = 1) -> Raw:
        """From `16000`, `16000:2` or `16000:2:s16`: rate in Hz, channels, and encoding, low byte first unless `s16be`.

        Args:
            channels: where the text does not say.
        Raises:
            ConfigError: it is none of these.
            AudioError: the codec does not take such a rate or so many channels.
        """
        found = _TEXT.fullmatch(text)
        if not found:
            raise ConfigError(
                f"raw sound {text!r} is not known; expected RATE, RATE:CHANNELS or RATE:CHANNELS:ENCODING, such as "
                f"16000:1:s16, with one of {', '.join(_SUBTYPES)}, and be behind it for the high byte first"
            )
        rate, said, encoding, order = found.groups()
        raw = cls(int(rate), int(said or channels), encoding or "s16", order == "be")
        check_format(raw.sample_rate, raw.channels)
        return raw

    @property
    def frame_bytes(self) -> int:
        """Bytes of a sample of all channels."""
        return self.channels * _SUBTYPES[self.encoding][1]

    def open(self, source: int | View) -> SequentialFile:
        """Open a file descriptor, which may be a pipe and stays open, or a file."""
        words: dict[str, Any] = {"format": "RAW", "endian": "BIG" if self.big_endian else "LITTLE", "closefd": False}
        return SequentialFile(source, "r", self.sample_rate, self.channels, _SUBTYPES[self.encoding][0], **words)


class RawSound:
    """Headerless sound, as `soundstream.audio.sndfile.Sound` has it; made by `open_raw`."""

    def __init__(self, sound: SequentialFile, raw: Raw, size: int | None) -> None:
        self._sound = sound
        self.sample_rate, self.channels = raw.sample_rate, raw.channels
        self.is_float = raw.encoding in ("f32", "f64")
        self.num_samples, self.gaps = None if size is None else size // raw.frame_bytes, list[Gap]()
        if self.num_samples is not None and size and (rest := size % raw.frame_bytes):
            at_s = self.num_samples / raw.sample_rate
            self.gaps.append(Gap(f"it ends with {rest} bytes of a sample; is its format right?", at_s))

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield pcm [channels, samples] of a second."""
        return self._sound.blocks_of(self.sample_rate, None)


@contextmanager
def open_raw(file: BinaryIO, raw: Raw) -> Iterator[RawSound]:
    """Open headerless sound in a file, or in a pipe as it comes."""
    size = file.seek(0, 2) if file.seekable() else None
    with raw.open(file.fileno() if size is None else View(file, ((0, size),))) as sound:
        yield RawSound(sound, raw, size)
