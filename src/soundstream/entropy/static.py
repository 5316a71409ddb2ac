"""Entropy coding with fixed tables: each codebook has its own frequencies."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy import ans
from soundstream.entropy.coder import check_codes, checksum, coded_bits, decode_each
from soundstream.entropy.grid import ABSENT, Codes, Counts, Shape, Stack
from soundstream.entropy.tables import Tables
from soundstream.errors import BitstreamError, InvalidField


class StaticCoder:
    """Codes each codebook with its own fixed frequencies; knows no context and costs next to nothing."""

    side_by_side = False

    def __init__(self, tables: Tables, stack: Stack = ()) -> None:
        self._below = _below(tables.static.astype(np.int64))
        self._frequencies, self._sizes, self._grid = tables.static, tables.sizes, tables.grid(stack)
        self._lists = self._below.tolist()

    def encode(self, codes: Codes) -> bytes:
        """Code integers `[channels, num_quantizers, frames]`.

        Raises:
            ConfigError: the codes are not those of the tables' codebooks.
        """
        check_codes(codes, self._sizes, self._grid)
        q, cells = np.arange(codes.shape[1])[:, None], self._grid.cells(codes.shape, self._grid.counts(codes))
        ordered = codes.transpose(2, 1, 0)
        starts, widths = self._below[q, ordered][cells], self._frequencies[q, ordered][cells]
        return ans.encode(starts.tolist(), widths.tolist(), checksum(codes, cells))

    def bits(self, codes: Codes) -> NDArray[np.float64]:
        """Bits that the codes `[channels, num_quantizers, frames]` of each codebook take `[num_quantizers]`."""
        widths = self._frequencies[np.arange(codes.shape[1])[:, None], codes.transpose(2, 1, 0)]
        return coded_bits(widths, self._grid.cells(codes.shape, self._grid.counts(codes)))

    def decode(self, payload: bytes, shape: Shape, counts: Counts | None = None) -> Codes:
        """Codes of `shape` `[channels, num_quantizers, frames]`, each in all frames that it covers.

        Args:
            counts: codebooks of each frame; None is all of them.
        Raises:
            CodesMismatch: the payload does not end as one of these codes must.
            InvalidField: a code covers frames that are not there.
        """
        self._grid.check_whole(shape, InvalidField)
        decoder, found, cells = ans.Decoder(payload), [], self._grid.cells(shape, counts)
        for q in np.nonzero(cells)[1].tolist():
            below = self._lists[q]
            symbol = bisect_right(below, decoder.slot) - 1
            decoder.take(below[symbol], below[symbol + 1] - below[symbol])
            found.append(symbol)
        codes = np.full(cells.shape, ABSENT)
        codes[cells] = found
        codes = np.ascontiguousarray(self._grid.repeated(codes).transpose(2, 1, 0))
        decoder.finish(checksum(codes, cells))
        return codes

    def decode_batch(self, payloads: Sequence[bytes], shape: Shape) -> list[Codes | BitstreamError]:
        """As `decode` for each payload; in place of those that cannot be decoded, the error."""
        return decode_each(self.decode, payloads, shape)


def _below(widths: Codes) -> Codes:
    """Sum of the frequencies below each symbol, and below the end `[q, size + 1]`."""
    return np.concatenate([np.zeros((len(widths), 1), np.int64), widths.cumsum(axis=1)], axis=1)
