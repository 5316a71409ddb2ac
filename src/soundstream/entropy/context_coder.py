"""Entropy coding with a model of the context; payloads are decoded side by side, a code of each in every step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy import ans
from soundstream.entropy.bounds import TOTAL
from soundstream.entropy.coder import check_codes, checksum, coded_bits
from soundstream.entropy.context import Codebooks, ContextModel, Known, Room, contexts, with_ones
from soundstream.entropy.grid import ABSENT, Cells, Codes, Counts, Grid, Shape, Stack
from soundstream.entropy.tables import Tables
from soundstream.errors import BitstreamError, CodesMismatch, InvalidField
from soundstream.system.threads import single_blas_thread

MAX_ROWS = 64
"""Codes that are encoded in one step, at most, so that its arrays stay in the cache."""


class ContextCoder:
    """Codes with frequencies that follow from the codes before; every payload decodes alone.

    Its results do not depend on how many payloads are decoded at once, on threads, or on the machine.
    """

    side_by_side = True

    def __init__(self, tables: Tables, codebooks: Codebooks, stack: Stack = ()) -> None:
        self.model, self.tables, self._grid = ContextModel(tables, codebooks), tables, tables.grid(stack)

    def encode(self, codes: Codes) -> bytes:
        """Code integers `[channels, num_quantizers, frames]`.

        Raises:
            ConfigError: the codes are not those of the tables' codebooks.
        """
        check_codes(codes, self.model.sizes, self._grid)
        cells = self._grid.cells(codes.shape, self._grid.counts(codes))
        with single_blas_thread():
            starts, widths = self._encode(codes)
        return ans.encode(starts[cells].tolist(), widths[cells].tolist(), checksum(codes, cells))

    def widths(self, codes: Codes) -> Codes:
        """The frequency of each code, out of TOTAL, `[frames, num_quantizers, channels]`; TOTAL where none stands."""
        return self._encode(codes)[1]

    def bits(self, codes: Codes) -> NDArray[np.float64]:
        """Bits that the codes `[channels, num_quantizers, frames]` of each codebook take `[num_quantizers]`."""
        with single_blas_thread():
            return coded_bits(self.widths(codes), self._grid.cells(codes.shape, self._grid.counts(codes)))

    def _encode(self, codes: Codes) -> tuple[Codes, Codes]:
        """Starts and frequencies `[frames, num_quantizers, channels]` of all codes."""
        channels, num_quantizers, frames = codes.shape
        starts, widths = np.zeros((2, num_quantizers, channels * frames), np.int64)
        widths[...] = TOTAL
        strides, rooms = self._grid.strides(num_quantizers).tolist(), _Rooms(self.model)
        for q, known in enumerate(contexts(self.model.vectors, self.model.shifts, codes, strides)):
            firsts = slice(None, None, strides[q])
            found = [self._places(*part, q, rooms) for part in _parts(known, codes[:, q].ravel()[firsts])]
            starts[q, firsts], widths[q, firsts] = np.concatenate([np.zeros((2, 0), np.int64), *found], axis=1)
        order = num_quantizers, channels, frames
        return starts.reshape(order).transpose(2, 0, 1), widths.reshape(order).transpose(2, 0, 1)

    def _places(self, known: NDArray[np.int8], codes: Codes, q: int, rooms: _Rooms) -> tuple[Codes, Codes]:
        """Starts and frequencies `[rows]` of codes `[rows]` of codebook q after `inputs`."""
        room = rooms[len(codes)][q]
        widths = self.model.widths(with_ones(known), q, room)
        places = codes + np.arange(0, widths.size, widths.shape[1])
        ends = widths.cumsum(axis=1, out=room.ends)
        found = widths.take(places)
        return ends.take(places) - found, found

    def decode(self, payload: bytes, shape: Shape, counts: Counts | None = None) -> Codes:
        """Codes of `shape` `[channels, num_quantizers, frames]`.

        Args:
            counts: codebooks of each frame; None is all of them.
        Raises:
            CodesMismatch: the payload does not end as one of these codes must.
            InvalidField: a code covers frames that are not there.
        """
        (codes,) = self._decoded([payload], shape, counts)
        if isinstance(codes, BitstreamError):
            raise codes
        return codes

    def decode_batch(self, payloads: Sequence[bytes], shape: Shape) -> list[Codes | BitstreamError]:
        """Codes of several payloads of one shape; in place of those that cannot be decoded, the error.

        All are decoded side by side, which takes far less time than one after the other.
        """
        return self._decoded(payloads, shape, None)

    def _decoded(self, payloads: Sequence[bytes], shape: Shape, counts: Counts | None) -> list[Codes | BitstreamError]:
        try:
            self._grid.check_whole(shape, InvalidField)
        except InvalidField as error:
            return [error] * len(payloads)
        decoders, cells = ans.Decoders(payloads), self._grid.cells(shape, counts)
        with single_blas_thread():
            if counts is None:
                codes = decode_side_by_side(self.model, decoders, shape, self._grid)
            else:
                codes = _decode_counted(self.model, decoders, shape, cells)
        return [_finished(decoders, i, one, cells) for i, one in enumerate(codes)]


class _Rooms(dict[int, list[Room]]):
    """Room by number of rows, made when it is asked for."""

    def __init__(self, model: ContextModel) -> None:
        super().__init__()
        self._model = model

    def __missing__(self, rows: int) -> list[Room]:
        return self.setdefault(rows, self._model.rooms(rows))


def _parts(known: NDArray[np.int8], codes: Codes) -> Iterator[tuple[NDArray[np.int8], Codes]]:
    """Inputs and codes, MAX_ROWS of them in each step."""
    for i in range(0, len(codes), MAX_ROWS):
        yield known[i : i + MAX_ROWS], codes[i : i + MAX_ROWS]


def _finished(decoders: ans.Decoders, i: int, codes: Codes, cells: Cells) -> Codes | BitstreamError:
    try:
        decoders.finish(i, checksum(codes, cells))
    except CodesMismatch as error:
        return error
    return codes


def decode_side_by_side(model: ContextModel, decoders: ans.Decoders, shape: Shape, grid: Grid | None = None) -> Codes:
    """Codes `[payloads, channels, num_quantizers, frames]` of fresh decoders, not yet checked.

    Args:
        shape: channels, num_quantizers and frames of each payload.
        grid: where codes stand; None is everywhere.
    """
    channels, num_quantizers, frames = shape
    rows = channels * len(decoders)
    known, rooms = Known(model, rows, num_quantizers), model.rooms(rows)
    codes = np.zeros((frames, num_quantizers, channels, len(decoders)), np.int64)
    searches = [_Search(decoders, channels, int(size)) for size in model.sizes]
    strides = grid.strides(num_quantizers).tolist() if grid and grid.is_strided else None
    for t, frame in enumerate(codes if rows else ()):
        for q, found in enumerate(frame):
            if strides and t % strides[q]:
                found[...] = codes[t - 1, q]
            else:
                searches[q](model.widths(known.inputs, q, rooms[q]), rooms[q].ends, found)
            known.push(q, found.reshape(rows))
    return np.ascontiguousarray(codes.transpose(3, 2, 1, 0))


def _decode_counted(model: ContextModel, decoders: ans.Decoders, shape: Shape, cells: Cells) -> Codes:
    """`decode_side_by_side` of a single payload whose frames have several numbers of codebooks."""
    channels, num_quantizers, frames = shape
    known, rooms = Known(model, channels, num_quantizers), model.rooms(channels)
    codes = np.full((frames, num_quantizers, channels, 1), ABSENT)
    searches = [_Search(decoders, channels, int(size)) for size in model.sizes]
    for frame, cells_of_frame in zip(codes, cells, strict=True):
        for q, (found, present) in enumerate(zip(frame, cells_of_frame, strict=True)):
            if present.any():
                searches[q](model.widths(known.inputs, q, rooms[q]), rooms[q].ends, found, present)
            known.push(q, found[:, 0], ~present)
    return np.ascontiguousarray(codes.transpose(3, 2, 1, 0))


class _Search:
    """Finds codes among frequencies of `channels x payloads` rows, the payloads of a channel together.

    The sums of all frequencies run on from row to row, so that one search among them finds the codes of all payloads.
    """

    def __init__(self, decoders: ans.Decoders, channels: int, size: int) -> None:
        rows = np.arange(channels * len(decoders), dtype=np.int64).reshape(channels, len(decoders))
        self._decoders, self._bases, self._places = decoders, list(TOTAL * rows), list(size * rows)

    def __call__(self, widths: Codes, ends: Codes, out: Codes, present: Iterable[bool] | None = None) -> None:
        """Take one code of every channel off each payload, into `out` `[channels, payloads]`.

        Args:
            widths: frequencies `[channels x payloads, size]`.
            ends: room for their sums.
            present: channels that have a code; None is all.
        """
        sums = np.add.accumulate(widths.reshape(-1), out=ends.reshape(-1))
        rows = zip(self._bases, self._places, out, strict=True)
        for base, place, codes in rows if present is None else compress(rows, present):
            found = sums.searchsorted(self._decoders.slots() + base, side="right")
            np.subtract(found, place, out=codes)
            picked = widths.take(found)
            starts = sums.take(found)
            starts -= picked
            starts -= base
            self._decoders.take(starts, picked)
