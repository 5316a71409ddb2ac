"""Streams of arrays in parts: counted, cut into other lengths, and ended at an exact sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array
from soundstream.errors import InvalidField

T = TypeVar("T", bound=np.generic)


class Counter:
    """Passes blocks of pcm `[channels, samples]` on and counts their samples."""

    def __init__(self, blocks: Iterable[Array]) -> None:
        self.samples = 0
        self._blocks = blocks

    def __iter__(self) -> Iterator[Array]:
        for block in self._blocks:
            self.samples += block.shape[1]
            yield block


class Tail:
    """Holds back the last samples until their exact number is known.

    Args:
        keep: samples to hold back.
        given: place of the first sample that will be pushed.
        first: place of the first sample to give.
    """

    def __init__(self, channels: int, keep: int, given: int = 0, first: int = 0) -> None:
        self._given = given
        self._first = first
        self._held = np.zeros((channels, 0), np.float32)
        self._keep = keep

    @property
    def given(self) -> int:
        """Samples that were given."""
        return self._given

    @property
    def held(self) -> int:
        """Samples that are held back."""
        return self._held.shape[1]

    def push(self, pcm: Array) -> Array:
        """Take pcm `[channels, samples]` and give what lies before the last `keep` samples."""
        held = np.concatenate([self._held, pcm], axis=1)
        ready = max(0, held.shape[1] - self._keep)
        self._held = held[:, ready:]
        self._given += ready
        return self._from_first(held[:, :ready])

    def finish(self, pcm: Array, num_samples: int | None, exact: bool = True) -> Array:
        """Take the last pcm and give what is left of `num_samples` in all; of everything, if that is None.

        Raises:
            InvalidField: more than these were given, and the number is exact.
        """
        held = np.concatenate([self._held, pcm], axis=1)
        left = held.shape[1] if num_samples is None else num_samples - self._given
        if left < 0 and exact and self._given > self._first:
            raise InvalidField(f"the file holds {-left} samples more than the {num_samples} that it counts")
        held = held[:, : max(0, left)]
        self._given += held.shape[1]
        return self._from_first(held)

    def _from_first(self, pcm: Array) -> Array:
        """Without the samples before the first one wanted; pcm ends at `given`."""
        early = self._first - (self._given - pcm.shape[1])
        return pcm[:, max(0, early) :]


def regroup(parts: Iterable[NDArray[T]], frames: int) -> Iterator[NDArray[T]]:
    """The same codes or latents `[..., frames]` in parts of `frames` frames, the last one shorter."""
    held: list[NDArray[T]] = []
    count = 0
    for part in parts:
        held.append(part)
        count += part.shape[2]
        while count >= frames:
            joined = np.concatenate(held, axis=2)
            yield joined[:, :, :frames]
            held, count = [joined[:, :, frames:]], count - frames
    if count:
        yield np.concatenate(held, axis=2)


def taken(parts: Iterable[NDArray[T]], skip: int, frames: int | None = None) -> Iterator[NDArray[T]]:
    """`frames` frames, or all that there are, of codes `[..., frames]` in parts, after the first `skip`."""
    for part in parts:
        part, skip = part[:, :, skip:], max(0, skip - part.shape[2])
        if frames is not None:
            part = part[:, :, :frames]
            frames -= part.shape[2]
        if part.shape[2]:
            yield part
        if frames == 0:
            return


def left_out(blocks: Iterable[Array], samples: int) -> Iterator[Array]:
    """Blocks of pcm `[channels, samples]` without the first samples."""
    for pcm in blocks:
        yield pcm[:, samples:]
        samples = max(0, samples - pcm.shape[1])


def seconds(pcm: Array, sample_rate: int) -> Iterator[Array]:
    """Pcm `[channels, samples]` second by second."""
    for start in range(0, pcm.shape[1], sample_rate):
        yield pcm[:, start : start + sample_rate]
