"""Latents in, codes out: quickly, or by listening to what several of them decode to.

latents ── nearest codes, and by a network what levels they lack ── codes
                │
                └─ with more effort: a search that listens ── what levels those lack, as it is heard ── codes
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array, Codes
from soundstream.entropy.grid import ABSENT, Counts
from soundstream.runtime.quantizer import Quantizer
from soundstream.runtime.search.levels import LevelCoder
from soundstream.runtime.search.listening import HeardLack, ListeningSearch
from soundstream.runtime.side import with_side
from soundstream.spec import CodecSpec

NEAREST = 16
"""Most paths of the search for nearest codes where some of them are listened to."""


class CodeStream(ABC):
    """Latents in, codes out; make a new one for each signal."""

    @abstractmethod
    def push(self, latents: Array, num_quantizers: int, effort: int = 1, counts: Counts | None = None) -> Codes:
        """Codes `[streams, num_quantizers + side_numbers, frames]` of what an encoder gives.

        Args:
            latents: `[streams, encoded_channels, frames]`; for a search that listens with the sound of each frame, of
                hop_length samples, behind them.
            num_quantizers: codebooks; the same until `flush` where codes come late.
            effort: paths that the search keeps.
            counts: codebooks of each frame, behind which its codes are -1; None is all.
        """

    @abstractmethod
    def flush(self, num_quantizers: int) -> Codes:
        """Codes that are still missing, of as many codebooks."""

    def whole(self, latents: Array, num_quantizers: int, effort: int = 1, counts: Counts | None = None) -> Codes:
        """Codes of all of a signal's latents, as `push` takes them."""
        pushed = self.push(latents, num_quantizers, effort, counts)
        return np.concatenate([pushed, self.flush(num_quantizers)], axis=2)


class NearestCodes(CodeStream):
    """Takes the nearest codes, with what the codes of levels remember.

    Args:
        streams: signals side by side.
        levels: what finds codes of levels, if there are some; those of several paths come late.
    """

    def __init__(self, quantizer: Quantizer, spec: CodecSpec, streams: int, levels: LevelCoder | None) -> None:
        self.quantizer, self.spec, self._levels = quantizer, spec, levels
        self._held: Codes = np.zeros((streams, 0, 0), np.int64)
        """Codes of frames whose code of levels is not decided."""

    def push(self, latents: Array, num_quantizers: int, effort: int = 1, counts: Counts | None = None) -> Codes:
        side = latents[:, latents.shape[1] - self.spec.side_numbers :]
        latents = latents[:, : self.spec.latent_dim]
        if counts is None:
            codes = self.quantizer.encode(latents, num_quantizers, effort)
        else:
            codes = self.quantizer.encode_counts(latents, counts, num_quantizers, effort)
        return with_side(codes, side) if self.spec.side_numbers else self.with_levels(latents, codes)

    def with_levels(self, latents: Array, codes: Codes) -> Codes:
        """Codes `[streams, num_quantizers, frames]` whose codes of levels are decided now.

        Args:
            latents: `[streams, latent_dim, frames]`.
            codes: those of these frames, with 0 for levels.
        """
        if not (self._levels and self.spec.levels and codes.shape[2]):
            return codes
        if codes.shape[1] <= self.spec.levels.place:
            self._levels.pause(codes.shape[2])
            return codes
        quantized = self.quantizer.decode(codes)[:, : -self.spec.levels.bands]
        return self._decided(codes, self._levels.push(latents, quantized), self.spec.levels.place)

    def flush(self, num_quantizers: int) -> Codes:
        if self._levels and self.spec.levels and self._held.shape[2]:
            return self._decided(self._held[..., :0], self._levels.flush(), self.spec.levels.place)
        return np.zeros((len(self._held), num_quantizers + self.spec.side_numbers, 0), np.int64)

    def _decided(self, codes: Codes, levels: Codes, place: int) -> Codes:
        """Frames that were held and these, those of them for which levels are decided."""
        held = np.concatenate([self._held, codes], axis=2) if self._held.shape[2] else codes
        found, self._held = np.split(held, [levels.shape[1]], axis=2)
        found[:, place] = levels
        return found


class HeardCodes(CodeStream):
    """Latents with their sound in, codes out, of candidates those that are decoded best; make a new one a signal.

    Candidates are heard with the codes of levels that fit to the nearest codes. When it is decided which ones are
    taken, levels are found anew: by what decoded sound lacks, and no longer by what a network thinks that it does.

    The effort of a push is that of the search for nearest codes.

    Args:
        nearest: finds codes of levels for the nearest codes.
        search: what listens.
        lack: what is heard of levels in the end.
        levels: finds codes of them.
    """

    def __init__(
        self, nearest: NearestCodes, search: ListeningSearch, lack: HeardLack, levels: LevelCoder | None
    ) -> None:
        self._nearest, self._quantizer, self._spec = nearest, nearest.quantizer, nearest.spec
        self._search, self._lack, self._levels = search, lack, levels
        self._unheard, self._open, self._without_levels = Waiting(), Waiting(), Waiting()

    def push(self, latents: Array, num_quantizers: int, effort: int = 1, counts: Counts | None = None) -> Codes:
        latents, sound = np.split(latents, [-self._spec.hop_length], axis=1)
        latents = latents[:, : self._spec.latent_dim]
        candidates = self._tried(latents, num_quantizers, min(effort, NEAREST), counts)
        self._unheard.add(candidates, sound)
        return self._listened(self._nearest.with_levels(latents, candidates[:, 0].copy()))

    def flush(self, num_quantizers: int) -> Codes:
        nearest = self._nearest.flush(num_quantizers)
        if not self._unheard:  # no frame ever came
            return nearest
        parts = [self._listened(nearest), self._chosen(self._search.flush())]
        if self._levels and self._without_levels:
            parts.append(self._told(self._levels.flush()))
        return np.concatenate(parts, axis=2)

    def _tried(self, latents: Array, num_quantizers: int, effort: int, counts: Counts | None) -> Codes:
        """Candidates `[streams, candidates, num_quantizers, frames]` of every frame, -1 behind its codebooks."""
        shape = len(latents), self._search.candidates, num_quantizers, latents.shape[2]
        if counts is None:
            counts = np.full((len(latents), latents.shape[2]), num_quantizers)
        candidates = np.full(shape, ABSENT)
        for count in np.unique(counts).tolist():
            signals, frames = np.nonzero(counts == count)
            found = self._quantizer.candidates(latents[signals, :, frames].T[None], count, shape[1], effort)
            candidates[signals, :, :count, frames] = np.moveaxis(found[0], 2, 0)
        return candidates

    def _listened(self, nearest: Codes) -> Codes:
        """Codes that are decided when the next frames are heard, of which these are the nearest ones with levels."""
        candidates, sound = self._unheard.take(nearest.shape[2])
        candidates[:, :, self._place] = nearest[:, None, self._place]
        streams, count, num_quantizers, frames = candidates.shape
        vectors = self._quantizer.decode(candidates.reshape(streams * count, num_quantizers, frames))
        vectors = vectors.reshape(streams, count, *vectors.shape[1:])
        self._open.add(candidates, sound)
        return self._chosen(self._search.push(vectors, sound))

    def _chosen(self, chosen: NDArray[np.int64]) -> Codes:
        """Codes of the next frames, of which candidates `[streams, frames]` were chosen."""
        candidates, sound = self._open.take(chosen.shape[1])
        codes = np.take_along_axis(candidates, chosen[:, None, None], axis=1)[:, 0]
        if not self._levels:
            return codes
        has_levels = codes[:, self._place].size or not codes.shape[2]
        codes[:, self._place] = 0
        lacking, weights = self._lack.push(self._quantizer.decode(codes), sound)
        if not has_levels:
            self._levels.pause(codes.shape[2])
            return codes
        self._without_levels.add(codes)
        return self._told(self._levels.follow(lacking, weights))

    def _told(self, levels: Codes) -> Codes:
        """Codes of the next frames, with these of levels."""
        (codes,) = self._without_levels.take(levels.shape[1])
        codes[:, self._place] = levels[:, None]
        return codes

    def deaf(self) -> NearestCodes:
        """What goes on from here without listening, where no frame waits."""
        return NearestCodes(self._quantizer, self._spec, self._search.signals, self._levels)

    @property
    def _place(self) -> slice:
        """That of levels in the stack, if it has some."""
        levels = self._spec.levels
        return slice(levels.place, levels.place + 1) if levels else slice(0)


class Waiting:
    """Frames that wait, in arrays `[..., frames]` side by side."""

    def __init__(self) -> None:
        self._arrays: tuple[NDArray[Any], ...] = ()

    def __bool__(self) -> bool:
        return bool(self._arrays)

    def add(self, *arrays: NDArray[Any]) -> None:
        """Frames that come behind those that wait."""
        waits = self._arrays and self._arrays[0].shape[-1]  # or else they may have other codebooks than before
        pairs = zip(self._arrays, arrays, strict=True) if waits else ((array,) for array in arrays)
        self._arrays = tuple(np.concatenate(parts, axis=-1) for parts in pairs)

    def take(self, frames: int) -> tuple[NDArray[Any], ...]:
        """The first frames, which wait no longer."""
        first = tuple(array[..., :frames].copy() for array in self._arrays)
        self._arrays = tuple(array[..., frames:] for array in self._arrays)
        return first
