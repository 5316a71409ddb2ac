"""The residual vector quantizer of a trained model, in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundstream.errors import ConfigError
from soundstream.system.threads import single_blas_thread

Array = NDArray[np.float32]
Codes = NDArray[np.int64]

DEFAULT_EFFORT = 4
"""Paths that the search for the codes of a file keeps."""
MAX_EFFORT = 64
"""Most paths that a search may keep."""
MAX_SCORES = 1 << 20
"""Scores that are held at once, at most: frames are searched in blocks."""


class Quantizer:
    """Search and look-up in the codebooks `[num_quantizers, codebook_size, latent_dim]`.

    The search is a beam: of all ways to go on from the paths that it keeps, the best few by squared error are kept for
    the next codebook. One path is the greedy search of the paper. More paths find better codes for the same decoder.

    Source: SoundStream (Zeghidour et al., 2021), Algorithm 1, for one path; the beam is known from additive
    quantization (Babenko and Lempitsky, 2014). Equal errors go to the path, then the entry, of lower index.
    """

    def __init__(self, codebooks: Array) -> None:
        self.codebooks = codebooks
        self._transposed = np.ascontiguousarray(codebooks.transpose(0, 2, 1))
        self._half_norms = 0.5 * np.square(codebooks).sum(-1)

    def encode(self, latents: Array, num_quantizers: int, effort: int = 1) -> Codes:
        """Codes `[..., num_quantizers, frames]` of latents `[..., latent_dim, frames]`.

        Args:
            effort: paths that the search keeps, 1 to MAX_EFFORT.
        Raises:
            ConfigError: the effort is out of range.
        """
        check_effort(effort)
        vectors = np.moveaxis(latents, -2, -1)
        rows = np.ascontiguousarray(vectors.reshape(-1, vectors.shape[-1]))
        size = max(1, MAX_SCORES // (effort * self.codebooks.shape[1]))
        with single_blas_thread():  # products are so small that a second thread costs more than it saves
            blocks = [rows[i : i + size] for i in range(0, len(rows), size)]
            found = [self._found(block, num_quantizers, effort) for block in blocks]
        codes = np.concatenate([np.zeros((0, num_quantizers), np.int64), *found])
        return np.moveaxis(codes.reshape(*vectors.shape[:-1], num_quantizers), -1, -2)

    def _found(self, rows: Array, num_quantizers: int, effort: int) -> Codes:
        """Codes `[rows, num_quantizers]`, the same whatever other rows are searched with a row.

        A row alone goes twice: its products would be summed in another order, which may find another of two near codes.
        """
        several = np.repeat(rows, 2, axis=0) if len(rows) == 1 else rows
        if effort == 1:
            return self._nearest(several, num_quantizers)[: len(rows)]
        return self._search(several, num_quantizers, effort)[: len(rows)]

    def _nearest(self, rows: Array, num_quantizers: int) -> Codes:
        """Codes `[rows, num_quantizers]` of a single path: what `_search` finds with one, in half the time."""
        codes = np.empty((len(rows), num_quantizers), np.int64)
        for q in range(num_quantizers):
            codes[:, q] = nearest = (self._half_norms[q] - rows @ self._transposed[q]).argmin(-1)
            rows = rows - self.codebooks[q][nearest]
        return codes

    def _search(self, rows: Array, num_quantizers: int, effort: int) -> Codes:
        """Codes `[rows, num_quantizers]` of the best path for vectors `[rows, latent_dim]`.

        A path that goes on to entry c from residual r gets |c|^2 / 2 - r.c in addition to its score, which counts from
        that of the best path: the first path's is always 0, so that a single path is searched as without any beam.
        """
        first = np.arange(len(rows))[:, None]
        residuals, scores, paths = rows, np.zeros((len(rows), 1), np.float32), 1
        parents, entries = [], []
        for q in range(num_quantizers):
            totals = residuals @ self._transposed[q]
            np.subtract(self._half_norms[q], totals, out=totals)
            totals = totals.reshape(len(rows), paths, -1)
            totals += scores[..., None]
            places, scores = _lowest(totals.reshape(len(rows), -1), effort)
            parent, entry = np.divmod(places, self.codebooks.shape[1])
            scores -= scores[:, :1]
            residuals = residuals[(first * paths + parent).ravel()] - self.codebooks[q][entry.ravel()]
            paths = places.shape[1]
            parents.append(parent)
            entries.append(entry)
        return _traced(parents, entries)

    def decode(self, codes: Codes) -> Array:
        """Latents `[..., latent_dim, frames]` of codes `[..., num_quantizers, frames]`."""
        latents = self.codebooks[0][codes[..., 0, :]]
        for q in range(1, codes.shape[-2]):
            latents = latents + self.codebooks[q][codes[..., q, :]]
        return np.moveaxis(latents, -1, -2)


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


def _traced(parents: list[Codes], entries: list[Codes]) -> Codes:
    """Codes `[rows, num_quantizers]` of the best path, followed back from its end.

    Args:
        parents: for each codebook `[rows, paths]`, the path of the codebook before that each path goes on from.
        entries: likewise, its entry.
    """
    row = np.arange(len(entries[0]))
    path = np.zeros_like(row)
    codes = np.empty((len(row), len(entries)), np.int64)
    for q in reversed(range(len(entries))):
        codes[:, q] = entries[q][row, path]
        path = parents[q][row, path]
    return codes
