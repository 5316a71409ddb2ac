"""Clips that people sent, kept in memory under names that nobody can guess."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from soundstream import audio
from soundstream.arrays import Array
from soundstream.errors import AudioError, ConfigError, LimitError
from soundstream.serve.limits import Limits


@dataclass(frozen=True)
class SentClip:
    """Audio to code."""

    pcm: Array
    """`[channels, samples]`, at least one sample."""
    sample_rate: int
    """Hz."""
    whole_s: float | None
    """Duration of the file that it is the start of; None if that is not known, or all of it was taken."""
    incomplete: tuple[str, ...] = ()
    """What is missing of the file, in words."""

    @property
    def duration_s(self) -> float:
        return self.pcm.shape[1] / self.sample_rate


def read_clip(file: BinaryIO, limits: Limits) -> SentClip:
    """Decode the start of an audio file, as much of it as the limits allow.

    Raises:
        AudioError: it is no audio that can be read, or damaged, or empty.
        LimitError: it has too many channels.
    """
    with audio.open_reader(file) as reader:
        if reader.channels > limits.channels:
            raise LimitError(f"the audio has {reader.channels} channels; at most {limits.channels} are taken here")
        most = int(limits.duration_s * reader.sample_rate)
        blocks, count = list[Array](), 0
        for block in reader:
            blocks.append(block[:, : most - count])
            count += block.shape[1]
            if count > most:
                whole_s = reader.num_samples / reader.sample_rate if reader.num_samples else None
                return SentClip(np.concatenate(blocks, axis=1), reader.sample_rate, whole_s)
    if not count:
        raise AudioError("the audio holds no samples; choose a longer file")
    return SentClip(np.concatenate(blocks, axis=1), reader.sample_rate, None, tuple(reader.incomplete))


class ClipGone(ConfigError):
    """A name that stands for no clip, or no longer."""


class ClipStore:
    """The clips of all clients.

    Args:
        max_bytes: audio to keep; the oldest clips go first.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._clips: dict[str, SentClip] = {}

    def add(self, clip: SentClip) -> str:
        """Keep a clip; returns its name."""
        name = secrets.token_urlsafe(16)
        self._clips[name] = clip
        while sum(kept.pcm.nbytes for kept in self._clips.values()) > self._max_bytes and len(self._clips) > 1:
            del self._clips[next(iter(self._clips))]
        return name

    def get(self, name: str) -> SentClip:
        """A clip by its name.

        Raises:
            ClipGone: there is none of this name, or it was dropped for newer ones.
        """
        if name not in self._clips:
            raise ClipGone("the clip is no longer here; send it again")
        return self._clips[name]
