"""Plain codes: every code takes as many bits as its codebook has."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.coder import check_sizes, decode_each
from soundstream.entropy.grid import ABSENT, Cells, Codes, Counts, Grid, Shape, Stack
from soundstream.errors import BitstreamError, ConfigError, InvalidField

_WORD_BITS = 16


class PlainCoder:
    """Packs codes, most significant bit first.

    The order is frame after frame, in a frame channel after channel, in a channel codebook after codebook. A code that
    covers several frames stands in the first of them. Zero bits fill the last byte. The payload does not say how many
    codes it holds.

    Args:
        codebook_bits: bits of one code, 1 to 16.
        stack: bits of a code and frames that it covers, by codebook, where these are not alike.
    Raises:
        ConfigError: codebook_bits is out of range.
    """

    side_by_side = False

    def __init__(self, codebook_bits: int, stack: Stack = ()) -> None:
        if not 1 <= codebook_bits <= _WORD_BITS:
            raise ConfigError(f"codebook_bits is {codebook_bits}; expected 1 to {_WORD_BITS}")
        self.codebook_bits, self._grid = codebook_bits, Grid(codebook_bits, stack)

    def payload_length(self, shape: Shape, counts: Counts | None = None) -> int:
        """Bytes that codes of this shape take, with as many codebooks in each frame."""
        return -(-self._used_bits(shape, counts) // 8)

    def encode(self, codes: np.ndarray) -> bytes:
        """Pack integer codes [channels, num_quantizers, frames].

        Raises:
            ConfigError: the codes are not whole numbers of their codebooks in three dimensions, or the last one of a
                codebook covers frames that are not there.
        """
        self._check(codes)
        frames_first, counts = codes.transpose(2, 0, 1), self._grid.counts(codes)
        plain = self._grid.is_plain and counts is None
        words = frames_first if plain else frames_first[self._cells(codes.shape, counts)]
        bits = np.unpackbits(words.astype(">u2").reshape(-1, 1).view(np.uint8), axis=1)
        used = bits[:, _WORD_BITS - self.codebook_bits :] if plain else bits[self._places(codes.shape, counts)]
        return np.packbits(used).tobytes()

    def bits(self, codes: np.ndarray) -> np.ndarray:
        """Bits that the codes `[channels, num_quantizers, frames]` of each codebook take `[num_quantizers]`."""
        cells = self._grid.cells(codes.shape, self._grid.counts(codes))
        return np.asarray(self._grid.bits(codes.shape[1]) * cells.sum(axis=(0, 2)), np.float64)

    def decode(self, payload: bytes, shape: Shape, counts: Counts | None = None) -> np.ndarray:
        """Unpack int64 codes of `shape` [channels, num_quantizers, frames]; each stands in all frames that it covers.

        Args:
            counts: codebooks of each frame; None is all of them.
        Raises:
            InvalidField: the payload has another length, a bit after the last code is set, or a code covers frames that
                are not there.
        """
        self._grid.check_whole(shape, InvalidField)
        expected = self.payload_length(shape, counts)
        if len(payload) != expected:
            raise InvalidField(f"the payload has {len(payload)} bytes; expected {expected} for codes {list(shape)}")
        bits = np.unpackbits(np.frombuffer(payload, np.uint8))
        used, plain = self._used_bits(shape, counts), self._grid.is_plain and counts is None
        if bits[used:].any():
            raise InvalidField("a bit after the last code of the payload is set; expected zeros")
        return self._alike(bits[:used], shape) if plain else self._repeated(bits[:used], shape, counts)

    def decode_batch(self, payloads: Sequence[bytes], shape: Shape) -> list[Codes | BitstreamError]:
        """As `decode` for each payload; in place of those that cannot be decoded, the error."""
        return decode_each(self.decode, payloads, shape)

    def _cells(self, shape: Shape, counts: Counts | None) -> Cells:
        """Where codes stand, `[frames, channels, num_quantizers]`."""
        return self._grid.cells(shape, counts).transpose(0, 2, 1)

    def _places(self, shape: Shape, counts: Counts | None) -> NDArray[np.bool_]:
        """Which bits of a word each code takes, `[codes, 16]`."""
        q = np.nonzero(self._cells(shape, counts))[2]
        return np.arange(_WORD_BITS) >= _WORD_BITS - self._grid.bits(shape[1])[q][:, None]

    def _used_bits(self, shape: Shape, counts: Counts | None) -> int:
        if self._grid.is_plain and counts is None:
            return math.prod(shape) * self.codebook_bits
        return int((self._grid.bits(shape[1]) * self._grid.cells(shape, counts).sum(axis=(0, 2))).sum())

    def _alike(self, bits: np.ndarray, shape: Shape) -> np.ndarray:
        """Codes of codebooks that are alike."""
        channels, num_quantizers, frames = shape
        words = np.zeros((math.prod(shape), _WORD_BITS), np.uint8)
        words[:, _WORD_BITS - self.codebook_bits :] = bits.reshape(-1, self.codebook_bits)
        codes = np.packbits(words, axis=1).view(">u2").astype(np.int64)
        return np.ascontiguousarray(codes.reshape(frames, channels, num_quantizers).transpose(1, 2, 0))

    def _repeated(self, bits: np.ndarray, shape: Shape, counts: Counts | None) -> np.ndarray:
        """Codes of a stack, each in all frames that it covers, or of as many codebooks as each frame has."""
        places, cells = self._places(shape, counts), self._cells(shape, counts)
        words = np.zeros(places.shape, np.uint8)
        words[places] = bits
        codes = np.full(cells.shape, ABSENT)
        codes[cells] = np.packbits(words, axis=1).view(">u2").ravel()
        return np.ascontiguousarray(self._grid.repeated(codes.transpose(0, 2, 1)).transpose(2, 1, 0))

    def _check(self, codes: np.ndarray) -> None:
        if codes.ndim != 3 or not np.issubdtype(codes.dtype, np.integer):
            raise ConfigError(
                f"codes are {codes.dtype} {list(codes.shape)}; expected [channels, num_quantizers, frames]"
            )
        check_sizes(codes, self._grid.sizes(codes.shape[1]), self._grid)
        self._grid.check_whole(codes.shape, ConfigError)
