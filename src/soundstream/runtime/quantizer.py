"""The residual vector quantizer of a trained model, in NumPy."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array, Codes
from soundstream.entropy.grid import ABSENT
from soundstream.errors import ConfigError
from soundstream.runtime.factors import Factors
from soundstream.system.threads import single_blas_thread

DEFAULT_EFFORT = 4
"""Paths that the search for the codes of a file keeps, where nobody says more."""
MAX_EFFORT = 64
"""Most paths that a search may keep."""
MAX_SCORES = 1 << 20
"""Scores that are held at once, at most: frames are searched in blocks."""


class Quantizer:
    """Search and look-up in codebooks `[num_quantizers, codebook_size, width]`, of which smaller ones are cut.

    The search is a beam: of all ways to go on from the paths that it keeps, the best few by squared error are kept for
    the next codebook. One path is the greedy search of the paper. More paths find better codes for the same decoder.

    Where `factors` stand between latents and entries, one path finds entries as the family's paper does, in the space
    of the entries; several paths compare what entries stand for. Codebooks of several strides take one path.

    Args:
        levels: place of the codebook of levels, and the bands that are its own latents, the last ones.

    Source: SoundStream (Zeghidour et al., 2021), Algorithm 1, for one path; the beam is known from additive
    quantization (Babenko and Lempitsky, 2014). Equal errors go to the path, then the entry, of lower index.
    """

    def __init__(self, entries: Array, factors: Factors | None = None, levels: tuple[int, int] | None = None) -> None:
        self._factors, self._levels = factors or Factors(), levels
        sizes = self._factors.sizes or (entries.shape[1],) * len(entries)
        self._entries = stack = [book[:size] for book, size in zip(entries, sizes, strict=True)]
        if levels:  # which stand beside plain codebooks
            place, bands = levels
            self._entries = [book[:, :-bands] for book in stack[:place] + stack[place + 1 :]]
            self._factors = Factors()
        self._outputs = _outputs(self._entries, self._factors)
        """What each entry stands for in what its group codes, `[entries, inner]` by codebook."""
        self.codebooks = stack if levels else _in_latents(self._outputs, self._factors)
        """The same in the latents, `[entries, latent_dim]` by codebook."""

    @cached_property
    def _transposed(self) -> list[Array]:
        """`[inner, entries]` by codebook, for products: decoding and the search as published ask for none."""
        return [np.ascontiguousarray(book.T) for book in self._outputs]

    @cached_property
    def _compared(self) -> list[Array]:
        """Entries, or their directions, by codebook, as the search as published compares them."""
        return [_directions(book) for book in self._entries] if self._factors.cosine else self._entries

    @cached_property
    def _compared_half_norms(self) -> list[Array]:
        return [0.5 * np.square(book).sum(-1) for book in self._compared]

    @cached_property
    def _half_norms(self) -> list[Array]:
        return [0.5 * np.square(book).sum(-1) for book in self._outputs]

    def encode(self, latents: Array, num_quantizers: int, effort: int = 1) -> Codes:
        """Codes `[..., num_quantizers, frames]` of latents `[..., latent_dim, frames]`.

        Those of levels, where there are some, stay 0: they depend on the frames before, see `search.levels.LevelCoder`.

        Args:
            effort: paths that the search keeps, 1 to MAX_EFFORT.
        Raises:
            ConfigError: the effort is out of range.
        """
        check_effort(effort)
        if self._levels:
            return self._without_levels(latents, self._levels, num_quantizers, effort)
        return self._found_codes(latents, num_quantizers, effort)

    def candidates(self, latents: Array, num_quantizers: int, paths: int, effort: int) -> Codes:
        """The best `paths` that the search finds `[streams, paths, num_quantizers, frames]`, the best one first.

        There are as many even where the codebooks have fewer entries: the last one is there again. Of a single group of
        codebooks without strides.

        Args:
            latents: `[streams, latent_dim, frames]`.
            effort: paths that the search keeps, at least as many.
        """
        place, bands = self._levels or (num_quantizers, 0)
        vectors = np.moveaxis(latents[:, : latents.shape[1] - bands], 1, 2)
        books, shape = range(num_quantizers - (num_quantizers > place)), vectors.shape[:2]
        with single_blas_thread():
            found = self._in_blocks(np.ascontiguousarray(vectors.reshape(-1, vectors.shape[2])), books, effort, paths)
        codes = np.moveaxis(found.reshape(*shape, paths, len(books)), 1, 3)
        return np.insert(codes, place, 0, axis=2) if num_quantizers > place else codes

    def encode_counts(self, latents: Array, counts: NDArray[np.int64], num_quantizers: int, effort: int = 1) -> Codes:
        """Codes `[streams, num_quantizers, frames]` of frames that have several numbers of codebooks, and -1 behind.

        Args:
            latents: `[streams, latent_dim, frames]`.
            counts: codebooks of each frame `[streams, frames]`, 1 to `num_quantizers`; a search ends there.
        """
        codes, vectors = np.full((*counts.shape, num_quantizers), ABSENT), np.moveaxis(latents, 1, 2)
        for count in np.unique(counts).tolist():
            here = counts == count
            if here.all():  # bit for bit as without counts: sums of products depend on how many rows there are
                codes[..., :count] = np.moveaxis(self.encode(latents, count, effort), 1, 2)
            else:
                codes[here, :count] = self.encode(vectors[here].T, count, effort).T
        return np.moveaxis(codes, 2, 1)

    def _without_levels(self, latents: Array, levels: tuple[int, int], num_quantizers: int, effort: int) -> Codes:
        """Codes of all but the levels, of which none is 0: it adds nothing to them."""
        place, bands = levels
        has_levels = num_quantizers > place
        codes = self._found_codes(latents[..., :-bands, :], num_quantizers - has_levels, effort)
        return np.insert(codes, place, 0, axis=-2) if has_levels else codes

    def _found_codes(self, latents: Array, num_quantizers: int, effort: int) -> Codes:
        vectors = np.moveaxis(latents, -2, -1)
        signals = np.ascontiguousarray(vectors.reshape(math.prod(vectors.shape[:-2]), *vectors.shape[-2:]))
        codes = np.zeros((*signals.shape[:2], num_quantizers), np.int64)
        with single_blas_thread():  # products are so small that a second thread costs more than it saves
            for group, books in enumerate(self._factors.groups(num_quantizers)):
                codes[..., books.start : books.stop] = self._in_group(signals, group, books, effort)
        return np.moveaxis(codes.reshape(*vectors.shape[:-1], num_quantizers), -1, -2)

    def _in_group(self, signals: Array, group: int, books: range, effort: int) -> Codes:
        """Codes `[signals, frames, books]` of a group's codebooks for vectors `[signals, frames, latent_dim]`."""
        if self._factors.group_in is not None:
            signals = signals @ self._factors.group_in[group].T
        strided = any(self._factors.stride(q) > 1 for q in books)
        if strided or (effort == 1 and self._factors.project_in is not None) or (effort == 1 and self._factors.cosine):
            return self._as_published(signals, books)
        rows = np.ascontiguousarray(signals.reshape(-1, signals.shape[2]))
        return self._in_blocks(rows, books, effort).reshape(*signals.shape[:2], len(books))

    def _in_blocks(self, rows: Array, books: range, effort: int, paths: int = 1) -> Codes:
        """Codes `[rows, paths, books]` of vectors `[rows, inner]`."""
        size = max(1, MAX_SCORES // (effort * max(map(len, self._outputs))))
        found = [self._found(rows[i : i + size], books, effort, paths) for i in range(0, len(rows), size)]
        return np.concatenate([np.zeros((0, paths, len(books)), np.int64), *found])

    def _as_published(self, rest: Array, books: range) -> Codes:
        """Codes `[signals, frames, books]` of vectors `[signals, frames, inner]`, compared in the space of the entries.

        Raises:
            ConfigError: there are not so many frames that each code covers whole ones.
        """
        codes = np.zeros((*rest.shape[:2], len(books)), np.int64)
        for place, q in enumerate(books):
            stride = self._factors.stride(q)
            if rest.shape[1] % stride:
                raise ConfigError(f"{rest.shape[1]} frames; a code of codebook {q} covers {stride}")
            pooled = rest if stride == 1 else rest.reshape(len(rest), -1, stride, rest.shape[2]).mean(axis=2)
            found = np.repeat(self._nearest_entry(pooled, q), stride, axis=1)
            codes[..., place] = found
            rest = rest - self._outputs[q][found]
        return codes

    def _nearest_entry(self, vectors: Array, q: int) -> Codes:
        """Index of the entry of codebook q that is nearest to each of the vectors `[signals, any, inner]`."""
        rows = vectors.reshape(-1, vectors.shape[2])
        rows = np.repeat(rows, 2, axis=0) if len(rows) == 1 else rows  # as in `_found`
        if self._factors.project_in is not None and self._factors.bias_in is not None:
            rows = rows @ self._factors.project_in[q].T + self._factors.bias_in[q]
        rows = _directions(rows) if self._factors.cosine else rows
        nearest = (self._compared_half_norms[q] - rows @ self._compared[q].T).argmin(-1)
        return nearest[: math.prod(vectors.shape[:2])].reshape(vectors.shape[:2])

    def _found(self, rows: Array, books: range, effort: int, paths: int) -> Codes:
        """Codes `[rows, paths, books]`, the same whatever other rows are searched with a row.

        A row alone goes twice: its products would be summed in another order, which may find another of two near codes.
        """
        several = np.repeat(rows, 2, axis=0) if len(rows) == 1 else rows
        if effort == 1:
            return self._nearest(several, books)[: len(rows), None]
        return self._search(several, books, effort, paths)[: len(rows)]

    def _nearest(self, rows: Array, books: range) -> Codes:
        """Codes `[rows, books]` of a single path: what `_search` finds with one, in half the time."""
        codes = np.empty((len(rows), len(books)), np.int64)
        for place, q in enumerate(books):
            codes[:, place] = nearest = (self._half_norms[q] - rows @ self._transposed[q]).argmin(-1)
            rows = rows - self._outputs[q][nearest]
        return codes

    def _search(self, rows: Array, books: range, effort: int, wanted: int = 1) -> Codes:
        """Codes `[rows, wanted, books]` of the best paths for vectors `[rows, inner]`.

        A path that goes on to entry c from residual r gets |c|^2 / 2 - r.c in addition to its score, which counts from
        that of the best path: the first path's is always 0, so that a single path is searched as without any beam.
        """
        first = np.arange(len(rows))[:, None]
        residuals, scores, paths = rows, np.zeros((len(rows), 1), np.float32), 1
        parents, entries = [], []
        for q in books:
            totals = residuals @ self._transposed[q]
            np.subtract(self._half_norms[q], totals, out=totals)
            totals = totals.reshape(len(rows), paths, -1)
            totals += scores[..., None]
            places, scores = _lowest(totals.reshape(len(rows), -1), effort)
            parent, entry = np.divmod(places, len(self._outputs[q]))
            scores -= scores[:, :1]
            residuals = residuals[(first * paths + parent).ravel()] - self._outputs[q][entry.ravel()]
            paths = places.shape[1]
            parents.append(parent)
            entries.append(entry)
        return np.stack([_traced(parents, entries, min(path, paths - 1)) for path in range(wanted)], axis=1)

    def decode(self, codes: Codes) -> Array:
        """Latents `[..., latent_dim, frames]` of codes `[..., num_quantizers, frames]`; one below 0 adds nothing."""
        latents = self.codebooks[0][codes[..., 0, :]]
        partial = bool((codes < 0).any())
        for q in range(1, codes.shape[-2]):
            entries = self.codebooks[q][codes[..., q, :]]
            latents = latents + (np.where(codes[..., q, :, None] < 0, np.float32(0), entries) if partial else entries)
        return np.moveaxis(latents, -1, -2)


def _outputs(entries: list[Array], factors: Factors) -> list[Array]:
    if factors.project_out is None or factors.bias_out is None:
        return entries
    projections = zip(factors.project_out, factors.bias_out, strict=True)
    return [book @ weight.T + bias for book, (weight, bias) in zip(entries, projections, strict=True)]


def _in_latents(outputs: list[Array], factors: Factors) -> list[Array]:
    if factors.group_out is None:
        return outputs
    groups = zip(factors.groups(len(outputs)), factors.group_out, strict=True)
    return [outputs[q] @ weight.T for books, weight in groups for q in books]


def _directions(vectors: Array) -> Array:
    """Vectors of length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-12)


def check_effort(effort: int) -> None:
    """Refuse a number of paths that the search cannot keep.

    Raises:
        ConfigError: it is no whole number from 1 to MAX_EFFORT.
    """
    if not isinstance(effort, int | np.integer) or isinstance(effort, bool) or not 1 <= effort <= MAX_EFFORT:
        raise ConfigError(f"effort is {effort!r}; expected a whole number from 1 to {MAX_EFFORT}")


def _lowest(totals: Array, count: int) -> tuple[Codes, Array]:
    """Places and values `[rows, count]` of the lowest totals of each row, in rising order; the first of equals wins.

    Args:
        totals: `[rows, any]`; what is found is overwritten.
    """
    count, row = min(count, totals.shape[1]), np.arange(len(totals))
    places, values = np.empty((len(totals), count), np.int64), np.empty((len(totals), count), np.float32)
    for i in range(count):
        places[:, i] = place = totals.argmin(axis=1)
        values[:, i] = totals[row, place]
        totals[row, place] = np.inf
    return places, values


def _traced(parents: list[Codes], entries: list[Codes], last: int) -> Codes:
    """Codes `[rows, num_quantizers]` of a path, followed back from its end.

    Args:
        parents: for each codebook `[rows, paths]`, the path of the codebook before that each path goes on from.
        entries: likewise, its entry.
        last: which path; 0 is the best.
    """
    row = np.arange(len(entries[0]))
    path = np.full_like(row, last)
    codes = np.empty((len(row), len(entries)), np.int64)
    for q in reversed(range(len(entries))):
        codes[:, q] = entries[q][row, path]
        path = parents[q][row, path]
    return codes
