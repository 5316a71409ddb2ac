"""Entropy coding with fixed tables: each codebook has its own frequencies."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy import ans
from soundstream.entropy.coder import Codes, Shape, check_codes, checksum, coded_bits, decode_each
from soundstream.entropy.tables import Tables
from soundstream.errors import BitstreamError


class StaticCoder:
    """Codes each codebook with its own fixed frequencies; knows no context and costs next to nothing."""

    side_by_side = False

    def __init__(self, tables: Tables) -> None:
        self._below = _below(tables.static.astype(np.int64))
        self._frequencies = tables.static
        self._lists = self._below.tolist()

    def encode(self, codes: Codes) -> bytes:
        """Code integers `[channels, num_quantizers, frames]`.

        Raises:
            ConfigError: the codes are not those of the tables' codebooks.
        """
        check_codes(codes, self._frequencies.shape)
        q = np.arange(codes.shape[1])[:, None]
        ordered = codes.transpose(2, 1, 0)
        starts, widths = self._below[q, ordered], self._frequencies[q, ordered]
        return ans.encode(starts.ravel().tolist(), widths.ravel().tolist(), checksum(codes))

    def bits(self, codes: Codes) -> NDArray[np.float64]:
        """Bits that the codes `[channels, num_quantizers, frames]` of each codebook take `[num_quantizers]`."""
        return coded_bits(self._frequencies[np.arange(codes.shape[1])[:, None], codes.transpose(2, 1, 0)])

    def decode(self, payload: bytes, shape: Shape) -> Codes:
        """Codes of `shape` `[channels, num_quantizers, frames]`.

        Raises:
            CodesMismatch: the payload does not end as one of these codes must.
        """
        channels, num_quantizers, frames = shape
        decoder, found = ans.Decoder(payload), []
        for q in np.tile(np.repeat(np.arange(num_quantizers), channels), frames).tolist():
            below = self._lists[q]
            symbol = bisect_right(below, decoder.slot) - 1
            decoder.take(below[symbol], below[symbol + 1] - below[symbol])
            found.append(symbol)
        codes = np.array(found, np.int64).reshape(frames, num_quantizers, channels).transpose(2, 1, 0)
        decoder.finish(checksum(codes))
        return np.ascontiguousarray(codes)

    def decode_batch(self, payloads: Sequence[bytes], shape: Shape) -> list[Codes | BitstreamError]:
        """As `decode` for each payload; in place of those that cannot be decoded, the error."""
        return decode_each(self.decode, payloads, shape)


def _below(widths: Codes) -> Codes:
    """Sum of the frequencies below each symbol, and below the end `[q, size + 1]`."""
    return np.concatenate([np.zeros((len(widths), 1), np.int64), widths.cumsum(axis=1)], axis=1)
