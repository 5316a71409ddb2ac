"""How a signal passes a network that looks ahead, in pieces, so that any split into pushes gives what the whole gives.

    chunks with context     |ctx|   chunk 0   |ctx|
                                        |ctx|   chunk 1   |ctx|         what comes of the context is cut off

    opening                 | first frames | 1 | 1 | 1 |    a causal network that looks ahead at its start alone takes
                                                            its first frames at once

    segments with overlap   |       segment 0       |
                                              |       segment 1       | each by itself; where decoded ones overlap, one
                                                                        fades into the other

A causal network needs neither: its state is all that it has to know of the past.
Source: chunks as in DAC (Kumar et al., 2023), segments as in EnCodec at 48 kHz (Défossez et al., 2022, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array
from soundstream.spec import CodecSpec

T = TypeVar("T", bound=np.generic)
Run = Callable[[Array], Array]
"""A network on a piece by itself: `[channels, ..., items]` in, items of its own out."""


class Policy(Protocol):
    """A signal in, piece by piece; what comes of it out, as soon as no later piece can change it."""

    def push(self, items: Array) -> Array:
        """Take items of any number along the last axis."""

    def flush(self) -> Array:
        """What is still missing; the signal is over."""


class Chunks:
    """Chunks of a fixed grid, each with as much of its neighbours as the network sees.

    Args:
        run: pads with zeros at the ends of what it is given, as at the ends of a signal.
        context: frames to either side that a frame depends on.
        chunk: frames at once; more take more memory and have to run over less context.
        items: of a frame, that come and that go: hop_length and 1 of an encoder.
        empty: what comes of nothing, `[channels, ..., 0]`.
        grid: frames on whose multiples begins what is run; the chunk has a multiple of them.
        window: frames that the network takes together, of which the grid has some; the last ones are filled with zeros.
        place: of the first frame that comes on the grid.
    """

    def __init__(
        self,
        run: Run,
        context: int,
        chunk: int,
        items: tuple[int, int],
        empty: Array,
        grid: int = 1,
        window: int = 1,
        place: int = 0,
    ) -> None:
        self._run, self._context, self._chunk, self._empty = run, context, chunk, empty
        self._grid, self._window = grid, window
        self._taken, self._given = items
        self._held: Array | None = None
        self._first, self._done = 0, place % grid
        """The frame with which what is held begins, and the next one to give."""

    def push(self, items: Array) -> Array:
        if self._held is None:
            self._held = _with_zeros(items, before=self._done * self._taken)
        else:
            self._held = np.concatenate([self._held, items], axis=-1)
        parts = [self._empty]
        while self._done + self._chunk + self._context <= self._known():
            parts.append(self._piece(self._done + self._chunk))
        return np.concatenate(parts, axis=-1)

    def flush(self) -> Array:
        parts = [self._empty]
        while self._done < self._known():
            parts.append(self._piece(min(self._done + self._chunk, self._known())))
        return np.concatenate(parts, axis=-1)

    def _known(self) -> int:
        """Whole frames that have come."""
        return self._first + (0 if self._held is None else self._held.shape[-1] // self._taken)

    def _piece(self, end: int) -> Array:
        """What comes of the frames up to `end`."""
        assert self._held is not None
        stop = min(self._known(), end + self._context) - self._first
        piece = _with_zeros(self._held[..., : stop * self._taken], behind=-stop % self._window * self._taken)
        found = self._run(np.ascontiguousarray(piece))
        found = found[..., (self._done - self._first) * self._given : (end - self._first) * self._given]
        first = max(0, end - self._context) // self._grid * self._grid
        self._held = self._held[..., (first - self._first) * self._taken :].copy()
        self._first, self._done = first, end
        return found


def _with_zeros(items: Array, before: int = 0, behind: int = 0) -> Array:
    """Items with so many zeros along the last axis before them, and behind."""
    ends = [(0, 0)] * (items.ndim - 1) + [(before, behind)]
    return np.pad(items, ends) if before or behind else items


class Opening:
    """A causal network that takes its first frames at once, and its last items as they are.

    Args:
        run: goes on where it stopped; completes a last frame itself.
        start: frames to wait for, of a signal that has as many.
        block: frames at once at most, no fewer than `start`.
        taken: items of a frame.
        empty: what comes of nothing, `[channels, ..., 0]`.
    """

    def __init__(self, run: Run, start: int, block: int, taken: int, empty: Array) -> None:
        self._run, self._awaited, self._block, self._taken = run, start * taken, block * taken, taken
        self._empty = empty
        self._held: Array | None = None

    def push(self, items: Array) -> Array:
        self._held = items if self._held is None else np.concatenate([self._held, items], axis=-1)
        whole = self._held.shape[-1] // self._taken * self._taken
        if whole < self._awaited:
            return self._empty
        self._awaited = 0
        return self._passed(self._held, whole)

    def flush(self) -> Array:
        return self._empty if self._held is None else self._passed(self._held, self._held.shape[-1])

    def _passed(self, held: Array, end: int) -> Array:
        """What comes of the items up to `end`, block by block."""
        self._held = held[..., end:].copy()
        places = range(0, end, self._block)
        parts = [np.ascontiguousarray(held[..., place : min(place + self._block, end)]) for place in places]
        return np.concatenate([self._empty, *map(self._run, parts)], axis=-1)


class SegmentEncoder:
    """pcm cut into segments that overlap; the frames of one follow those of the other.

    Args:
        run: pcm `[channels, samples]` to latents `[streams, latent_dim, frames]`; completes a last frame itself.
        segment, overlap: samples.
        channels: of the pcm.
        empty: `[streams, latent_dim, 0]`.
    """

    def __init__(self, run: Run, segment: int, overlap: int, channels: int, empty: Array) -> None:
        self._run, self._segment, self._step, self._empty = run, segment, segment - overlap, empty
        self._held = np.zeros((channels, 0), np.float32)

    def push(self, items: Array) -> Array:
        self._held = np.concatenate([self._held, items], axis=1)
        parts = [self._empty]
        while self._held.shape[1] >= self._segment:
            parts.append(self._piece())
        return np.concatenate(parts, axis=2)

    def flush(self) -> Array:
        parts = [self._empty]
        while self._held.shape[1]:
            parts.append(self._piece())
        return np.concatenate(parts, axis=2)

    def _piece(self) -> Array:
        piece = np.ascontiguousarray(self._held[:, : self._segment])
        self._held = self._held[:, self._step :].copy()
        return self._run(piece)


class Splitter:
    """Frames of a signal to those of its segments, each as soon as it cannot be a shorter one."""

    def __init__(self, spec: CodecSpec) -> None:
        self._spec, self._full = spec, spec.segment_samples // spec.hop_length
        self._unsure = sum(spec.segments_of(spec.segment_samples))
        """Frames of which the first segment may still be one that is not full."""
        self._held: NDArray[Any] | None = None

    def push(self, items: NDArray[T]) -> Iterator[NDArray[T]]:
        """Take `[..., frames]`; give segments."""
        self._held = items if self._held is None else np.concatenate([self._held, items], axis=-1)
        while self._held.shape[-1] > self._unsure:
            yield self._next(self._full)

    def flush(self) -> Iterator[NDArray[Any]]:
        """The last segments; the signal is over."""
        for frames in [] if self._held is None else self._spec.segments(self._held.shape[-1]):
            yield self._next(frames)

    def _next(self, frames: int) -> NDArray[Any]:
        assert self._held is not None
        found, self._held = self._held[..., :frames], self._held[..., frames:].copy()
        return np.ascontiguousarray(found)


class SegmentDecoder:
    """Frames of segments to pcm; where two overlap, each counts the more the nearer its middle is.

    Args:
        run: latents `[streams, latent_dim, frames]` of a segment to pcm `[channels, frames * hop]`.
        spec: which says where segments begin and end.
        channels: of the pcm.
    """

    def __init__(self, run: Run, spec: CodecSpec, channels: int) -> None:
        self._run, self._splitter, self._step = run, Splitter(spec), spec.segment_samples - spec.overlap_samples
        self._weight: Array | None = None
        self._sum = np.zeros((channels, 0), np.float32)
        self._weights = np.zeros(0, np.float32)

    def push(self, items: Array) -> Array:
        parts = [self._begun(segment) for segment in self._splitter.push(items)]
        return np.concatenate([self._sum[:, :0], *parts], axis=1)

    def flush(self) -> Array:
        parts = [self._begun(segment) for segment in self._splitter.flush()]
        return np.concatenate([*parts, self._taken(self._sum.shape[1])], axis=1)

    def _begun(self, latents: Array) -> Array:
        """Add a segment, which begins where what is summed up begins; the samples before the next one."""
        pcm = self._run(latents)
        if self._weight is None:
            ramp = np.linspace(0, 1, pcm.shape[1] + 2, dtype=np.float32)[1:-1]
            self._weight = 0.5 - np.abs(ramp - 0.5)
        longer = max(0, pcm.shape[1] - len(self._weights))
        self._sum, self._weights = np.pad(self._sum, ((0, 0), (0, longer))), np.pad(self._weights, (0, longer))
        weight = self._weight[: pcm.shape[1]]
        self._sum[:, : len(weight)] += weight * pcm[:, : len(weight)]
        self._weights[: len(weight)] += weight
        return self._taken(self._step)

    def _taken(self, samples: int) -> Array:
        """The first samples, which nothing changes any more."""
        done = self._sum[:, :samples] / self._weights[:samples]
        self._sum, self._weights = self._sum[:, samples:], self._weights[samples:]
        return done
