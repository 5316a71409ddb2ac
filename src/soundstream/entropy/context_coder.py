"""Entropy coding with a model of the context; payloads are decoded side by side, a code of each in every step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy import ans
from soundstream.entropy.bounds import TOTAL
from soundstream.entropy.coder import Codes, Shape, check_codes, checksum, coded_bits
from soundstream.entropy.context import ContextModel, Known, Room, contexts, with_ones
from soundstream.entropy.tables import Tables
from soundstream.errors import BitstreamError, CodesMismatch
from soundstream.system.threads import single_blas_thread

MAX_ROWS = 64
"""Codes that are encoded in one step, at most, so that its arrays stay in the cache."""


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
        check_codes(codes, self.tables.static.shape)
        with single_blas_thread():
            starts, widths = self._encode(codes)
        return ans.encode(starts.ravel().tolist(), widths.ravel().tolist(), checksum(codes))

    def widths(self, codes: Codes) -> Codes:
        """The frequency of each code, out of TOTAL, `[frames, num_quantizers, channels]`."""
        return self._encode(codes)[1]

    def bits(self, codes: Codes) -> NDArray[np.float64]:
        """Bits that the codes `[channels, num_quantizers, frames]` of each codebook take `[num_quantizers]`."""
        with single_blas_thread():
            return coded_bits(self.widths(codes))

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


def decode_side_by_side(model: ContextModel, decoders: ans.Decoders, shape: Shape) -> Codes:
    """Codes `[payloads, channels, num_quantizers, frames]` of fresh decoders, not yet checked.

    Args:
        shape: channels, num_quantizers and frames of each payload.
    """
    channels, num_quantizers, frames = shape
    rows = channels * len(decoders)
    known, room = Known(model, rows, num_quantizers), model.room(rows)
    codes = np.zeros((frames, num_quantizers, channels, len(decoders)), np.int64)
    search = _Search(decoders, channels, model.vectors.shape[1])
    for frame in codes if rows else ():
        for q, found in enumerate(frame):
            search(model.widths(known.inputs, q, room), room.ends, found)
            known.push(q, found.reshape(rows))
    return np.ascontiguousarray(codes.transpose(3, 2, 1, 0))


class _Search:
    """Finds codes among frequencies of `channels x payloads` rows, the payloads of a channel together.

    The sums of all frequencies run on from row to row, so that one search among them finds the codes of all payloads.
    """

    def __init__(self, decoders: ans.Decoders, channels: int, size: int) -> None:
        rows = np.arange(channels * len(decoders), dtype=np.int64).reshape(channels, len(decoders))
        self._decoders, self._bases, self._places = decoders, list(TOTAL * rows), list(size * rows)

    def __call__(self, widths: Codes, ends: Codes, out: Codes) -> None:
        """Take one code of every channel off each payload, into `out` `[channels, payloads]`.

        Args:
            widths: frequencies `[channels x payloads, size]`.
            ends: room for their sums.
        """
        sums = np.add.accumulate(widths.reshape(-1), out=ends.reshape(-1))
        for base, place, codes in zip(self._bases, self._places, out, strict=True):
            found = sums.searchsorted(self._decoders.slots() + base, side="right")
            np.subtract(found, place, out=codes)
            picked = widths.take(found)
            starts = sums.take(found)
            starts -= picked
            starts -= base
            self._decoders.take(starts, picked)
