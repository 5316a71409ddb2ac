"""Plain codes: every code takes the same number of bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from soundstream.entropy.coder import Codes, Shape, decode_each
from soundstream.errors import BitstreamError, ConfigError, InvalidField

_WORD_BITS = 16


class PlainCoder:
    """Packs codes into `codebook_bits` bits each, most significant bit first.

    The order is frame after frame, in a frame channel after channel, in a channel codebook after codebook.
    Zero bits fill the last byte. The payload does not say how many codes it holds.

    Args:
        codebook_bits: bits of one code, 1 to 16.
    Raises:
        ConfigError: codebook_bits is out of range.
    """

    side_by_side = False

    def __init__(self, codebook_bits: int) -> None:
        if not 1 <= codebook_bits <= _WORD_BITS:
            raise ConfigError(f"codebook_bits is {codebook_bits}; expected 1 to {_WORD_BITS}")
        self.codebook_bits = codebook_bits

    def payload_length(self, shape: Shape) -> int:
        """Bytes that codes of this shape take."""
        return -(-math.prod(shape) * self.codebook_bits // 8)

    def encode(self, codes: np.ndarray) -> bytes:
        """Pack integer codes [channels, num_quantizers, frames].

        Raises:
            ConfigError: the codes are not whole numbers below 2 ** codebook_bits in three dimensions.
        """
        self._check(codes)
        words = codes.transpose(2, 0, 1).astype(">u2").reshape(-1, 1).view(np.uint8)
        bits = np.unpackbits(words, axis=1)[:, _WORD_BITS - self.codebook_bits :]
        return np.packbits(bits).tobytes()

    def bits(self, codes: np.ndarray) -> np.ndarray:
        """Bits that the codes `[channels, num_quantizers, frames]` of each codebook take `[num_quantizers]`."""
        channels, num_quantizers, frames = codes.shape
        return np.full(num_quantizers, float(self.codebook_bits * channels * frames))

    def decode(self, payload: bytes, shape: Shape) -> np.ndarray:
        """Unpack int64 codes of `shape` [channels, num_quantizers, frames].

        Raises:
            InvalidField: the payload has another length, or a bit after the last code is set.
        """
        expected = self.payload_length(shape)
        if len(payload) != expected:
            raise InvalidField(f"the payload has {len(payload)} bytes; expected {expected} for codes {list(shape)}")
        bits = np.unpackbits(np.frombuffer(payload, np.uint8))
        used = math.prod(shape) * self.codebook_bits
        if bits[used:].any():
            raise InvalidField("a bit after the last code of the payload is set; expected zeros")
        return self._codes(bits[:used], shape)

    def decode_batch(self, payloads: Sequence[bytes], shape: Shape) -> list[Codes | BitstreamError]:
        """As `decode` for each payload; in place of those that cannot be decoded, the error."""
        return decode_each(self.decode, payloads, shape)

    def _codes(self, bits: np.ndarray, shape: Shape) -> np.ndarray:
        channels, num_quantizers, frames = shape
        words = np.zeros((math.prod(shape), _WORD_BITS), np.uint8)
        words[:, _WORD_BITS - self.codebook_bits :] = bits.reshape(-1, self.codebook_bits)
        codes = np.packbits(words, axis=1).view(">u2").astype(np.int64)
        return np.ascontiguousarray(codes.reshape(frames, channels, num_quantizers).transpose(1, 2, 0))

    def _check(self, codes: np.ndarray) -> None:
        if codes.ndim != 3 or not np.issubdtype(codes.dtype, np.integer):
            raise ConfigError(
                f"codes are {codes.dtype} {list(codes.shape)}; expected [channels, num_quantizers, frames]"
            )
        size = 1 << self.codebook_bits
        if codes.size and not 0 <= codes.min() <= codes.max() < size:
            raise ConfigError(f"codes lie from {codes.min()} to {codes.max()}; expected 0 to {size - 1}")
