"""Entropy-coded payloads: codes to bytes and back with fixed tables, or with a model of their context.

Symbols come frame after frame, in a frame codebook after codebook, for each codebook channel after channel.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy import ans
from soundstream.entropy.coder import Codes, Shape, decode_each
from soundstream.entropy.context import ContextModel, Room, contexts, with_ones
from soundstream.entropy.side_by_side import decode_side_by_side
from soundstream.entropy.tables import Tables
from soundstream.errors import BitstreamError, CodesMismatch, ConfigError
from soundstream.system.threads import single_blas_thread

MAX_ROWS = 64
"""Codes that are encoded in one step, at most, so that its arrays stay in the cache."""


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
        _check(codes, self._frequencies.shape)
        q = np.arange(codes.shape[1])[:, None]
        ordered = codes.transpose(2, 1, 0)
        starts, widths = self._below[q, ordered], self._frequencies[q, ordered]
        return ans.encode(starts.ravel().tolist(), widths.ravel().tolist(), checksum(codes))

    def bits(self, codes: Codes) -> NDArray[np.float64]:
        """Bits that the codes `[channels, num_quantizers, frames]` of each codebook take `[num_quantizers]`."""
        return _bits(self._frequencies[np.arange(codes.shape[1])[:, None], codes.transpose(2, 1, 0)])

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


class ContextCoder:
    """Codes with frequencies that follow from the codes before; every payload decodes alone.

    Its results do not depend on how many payloads are decoded at once, on threads, or on the machine.
    """

    side_by_side = True

    def __init__(self, tables: Tables, codebooks: NDArray[np.float32]) -> None:
        self.model, self.tables = ContextModel(tables, codebooks), tables

    def encode(self, codes: Codes) -> bytes:
        """Code integers `[channels, num_quantizers, frames]`.

        Raises:
            ConfigError: the codes are not those of the tables' codebooks.
        """
        _check(codes, self.tables.static.shape)
        with single_blas_thread():
            starts, widths = self._encode(codes)
        return ans.encode(starts.ravel().tolist(), widths.ravel().tolist(), checksum(codes))

    def widths(self, codes: Codes) -> Codes:
        """The frequency of each code, out of TOTAL, `[frames, num_quantizers, channels]`."""
        return self._encode(codes)[1]

    def bits(self, codes: Codes) -> NDArray[np.float64]:
        """Bits that the codes `[channels, num_quantizers, frames]` of each codebook take `[num_quantizers]`."""
        with single_blas_thread():
            return _bits(self.widths(codes))

    def _encode(self, codes: Codes) -> tuple[Codes, Codes]:
        """Starts and frequencies `[frames, num_quantizers, channels]` of all codes."""
        channels, num_quantizers, frames = codes.shape
        starts, widths = np.zeros((2, num_quantizers, channels * frames), np.int64)
        parts = [slice(i, min(i + MAX_ROWS, channels * frames)) for i in range(0, channels * frames, MAX_ROWS)]
        rooms = {rows: self.model.room(rows) for rows in {part.stop - part.start for part in parts}}
        for q, known in enumerate(contexts(self.model.vectors, self.model.shifts, codes)):
            found = codes[:, q].ravel()
            for part in parts:
                room = rooms[part.stop - part.start]
                starts[q, part], widths[q, part] = self._places(known[part], q, found[part], room)
        order = num_quantizers, channels, frames
        return starts.reshape(order).transpose(2, 0, 1), widths.reshape(order).transpose(2, 0, 1)

    def _places(self, known: NDArray[np.int8], q: int, codes: Codes, room: Room) -> tuple[Codes, Codes]:
        """Starts and frequencies `[rows]` of codes `[rows]` of codebook q after `inputs`."""
        widths = self.model.widths(with_ones(known), q, room)
        places = codes + np.arange(0, widths.size, widths.shape[1])
        ends = widths.cumsum(axis=1, out=room.ends)
        found = widths.take(places)
        return ends.take(places) - found, found

    def decode(self, payload: bytes, shape: Shape) -> Codes:
        """Codes of `shape` `[channels, num_quantizers, frames]`.

        Raises:
            CodesMismatch: the payload does not end as one of these codes must.
        """
        (codes,) = self.decode_batch([payload], shape)
        if isinstance(codes, BitstreamError):
            raise codes
        return codes

    def decode_batch(self, payloads: Sequence[bytes], shape: Shape) -> list[Codes | BitstreamError]:
        """Codes of several payloads of one shape; in place of those that cannot be decoded, the error.

        All are decoded side by side, which takes far less time than one after the other.
        """
        decoders = ans.Decoders(payloads)
        with single_blas_thread():
            codes = decode_side_by_side(self.model, decoders, shape)
        return [_finished(decoders, i, one) for i, one in enumerate(codes)]


def _finished(decoders: ans.Decoders, i: int, codes: Codes) -> Codes | BitstreamError:
    try:
        decoders.finish(i, checksum(codes))
    except CodesMismatch as error:
        return error
    return codes


def _bits(widths: NDArray[np.integer]) -> NDArray[np.float64]:
    """Bits of each codebook `[num_quantizers]` for frequencies `[frames, num_quantizers, channels]`."""
    return np.asarray((ans.TOTAL_BITS - np.log2(widths)).sum(axis=(0, 2)))


def checksum(codes: Codes) -> int:
    """The low half of the CRC-32 of codes `[channels, num_quantizers, frames]`, as 16-bit words in coding order."""
    return zlib.crc32(codes.transpose(2, 1, 0).astype("<u2").tobytes()) & 0xFFFF


def _below(widths: Codes) -> Codes:
    """Sum of the frequencies below each symbol, and below the end `[q, size + 1]`."""
    return np.concatenate([np.zeros((len(widths), 1), np.int64), widths.cumsum(axis=1)], axis=1)


def _check(codes: Codes, shape: tuple[int, ...]) -> None:
    num_quantizers, size = shape
    if codes.ndim != 3 or not np.issubdtype(codes.dtype, np.integer) or codes.shape[1] > num_quantizers:
        raise ConfigError(
            f"codes are {codes.dtype} {list(codes.shape)}; expected whole numbers "
            f"[channels, at most {num_quantizers}, frames]"
        )
    if codes.size and not 0 <= codes.min() <= codes.max() < size:
        raise ConfigError(f"codes lie from {codes.min()} to {codes.max()}; expected 0 to {size - 1}")
