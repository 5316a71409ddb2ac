"""Plain codes: every code takes as many bits as its codebook has."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.coder import Codes, Shape, decode_each
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

    def __init__(self, codebook_bits: int, stack: Sequence[tuple[int, int]] = ()) -> None:
        if not 1 <= codebook_bits <= _WORD_BITS:
            raise ConfigError(f"codebook_bits is {codebook_bits}; expected 1 to {_WORD_BITS}")
        self.codebook_bits, self._stack = codebook_bits, stack

    def payload_length(self, shape: Shape) -> int:
        """Bytes that codes of this shape take."""
        return -(-self._used_bits(shape) // 8)

    def encode(self, codes: np.ndarray) -> bytes:
        """Pack integer codes [channels, num_quantizers, frames].

        Raises:
            ConfigError: the codes are not whole numbers of their codebooks in three dimensions, or the last one of a
                codebook covers frames that are not there.
        """
        self._check(codes)
        frames_first = codes.transpose(2, 0, 1)
        if self._stack:
            self._check_whole(codes.shape, ConfigError)
            frames_first = frames_first[self._cells(codes.shape)]
        words = frames_first.astype(">u2").reshape(-1, 1).view(np.uint8)
        bits = np.unpackbits(words, axis=1)
        used = bits[self._places(codes.shape)] if self._stack else bits[:, _WORD_BITS - self.codebook_bits :]
        return np.packbits(used).tobytes()

    def bits(self, codes: np.ndarray) -> np.ndarray:
        """Bits that the codes `[channels, num_quantizers, frames]` of each codebook take `[num_quantizers]`."""
        channels, num_quantizers, frames = codes.shape
        if not self._stack:
            return np.full(num_quantizers, float(self.codebook_bits * channels * frames))
        bits, strides = self._books(num_quantizers)
        return bits * channels * (frames / strides)

    def decode(self, payload: bytes, shape: Shape) -> np.ndarray:
        """Unpack int64 codes of `shape` [channels, num_quantizers, frames]; each stands in all frames that it covers.

        Raises:
            InvalidField: the payload has another length, a bit after the last code is set, or a code covers frames that
                are not there.
        """
        if self._stack:
            self._check_whole(shape, InvalidField)
        expected = self.payload_length(shape)
        if len(payload) != expected:
            raise InvalidField(f"the payload has {len(payload)} bytes; expected {expected} for codes {list(shape)}")
        bits = np.unpackbits(np.frombuffer(payload, np.uint8))
        used = self._used_bits(shape)
        if bits[used:].any():
            raise InvalidField("a bit after the last code of the payload is set; expected zeros")
        return self._codes(bits[:used], shape)

    def decode_batch(self, payloads: Sequence[bytes], shape: Shape) -> list[Codes | BitstreamError]:
        """As `decode` for each payload; in place of those that cannot be decoded, the error."""
        return decode_each(self.decode, payloads, shape)

    def _books(self, num_quantizers: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Bits and strides of the first codebooks of the stack."""
        bits, strides = np.array(self._stack[:num_quantizers], np.int64).reshape(-1, 2).T
        return bits, strides

    def _cells(self, shape: Shape) -> NDArray[np.bool_]:
        """Where codes stand, `[frames, channels, num_quantizers]`."""
        channels, num_quantizers, frames = shape
        _, strides = self._books(num_quantizers)
        stands = np.arange(frames)[:, None, None] % strides == 0
        return np.broadcast_to(stands, (frames, channels, num_quantizers))

    def _places(self, shape: Shape) -> NDArray[np.bool_]:
        """Which bits of a word each code takes, `[codes, 16]`."""
        bits, _ = self._books(shape[1])
        cells = self._cells(shape)
        return np.arange(_WORD_BITS) >= _WORD_BITS - np.broadcast_to(bits, cells.shape)[cells][:, None]

    def _used_bits(self, shape: Shape) -> int:
        if not self._stack:
            return math.prod(shape) * self.codebook_bits
        channels, num_quantizers, frames = shape
        bits, strides = self._books(num_quantizers)
        return int((bits * (frames // strides)).sum()) * channels

    def _codes(self, bits: np.ndarray, shape: Shape) -> np.ndarray:
        channels, num_quantizers, frames = shape
        if self._stack:
            return self._repeated(bits, shape)
        words = np.zeros((math.prod(shape), _WORD_BITS), np.uint8)
        words[:, _WORD_BITS - self.codebook_bits :] = bits.reshape(-1, self.codebook_bits)
        codes = np.packbits(words, axis=1).view(">u2").astype(np.int64)
        return np.ascontiguousarray(codes.reshape(frames, channels, num_quantizers).transpose(1, 2, 0))

    def _repeated(self, bits: np.ndarray, shape: Shape) -> np.ndarray:
        """Codes of a stack, each in all frames that it covers."""
        places, cells = self._places(shape), self._cells(shape)
        words = np.zeros(places.shape, np.uint8)
        words[places] = bits
        codes = np.zeros(cells.shape, np.int64)
        codes[cells] = np.packbits(words, axis=1).view(">u2").ravel()
        frame, (_, strides) = np.arange(shape[2])[:, None], self._books(shape[1])
        codes = codes[frame - frame % strides, :, np.arange(shape[1])]
        return np.ascontiguousarray(codes.transpose(2, 1, 0))

    def _check_whole(self, shape: Shape, error: type[Exception]) -> None:
        """Refuse frames that the codes of a codebook do not cover evenly."""
        _, strides = self._books(shape[1])
        if (shape[2] % strides).any():
            raise error(f"there are {shape[2]} frames; expected whole codes, which cover {max(strides)}")

    def _check(self, codes: np.ndarray) -> None:
        if codes.ndim != 3 or not np.issubdtype(codes.dtype, np.integer):
            raise ConfigError(
                f"codes are {codes.dtype} {list(codes.shape)}; expected [channels, num_quantizers, frames]"
            )
        sizes = (1 << self._books(codes.shape[1])[0])[:, None] if self._stack else np.array(1 << self.codebook_bits)
        if codes.size and not (codes.min() >= 0 and (codes < sizes).all()):
            raise ConfigError(f"codes lie from {codes.min()} to {codes.max()}; expected 0 to {sizes.max() - 1}")
