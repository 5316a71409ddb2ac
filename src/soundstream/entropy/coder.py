"""What every entropy coder can do, and what all of them need.

Entropy-coded symbols come frame after frame, in a frame codebook after codebook, for each codebook channel after
channel.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.bounds import TOTAL_BITS
from soundstream.errors import BitstreamError, ConfigError

Codes = NDArray[np.int64]
Shape = tuple[int, int, int]
"""Channels, num_quantizers, frames."""


class Coder(Protocol):
    """Codes `[channels, num_quantizers, frames]` to a payload and back; every payload decodes alone."""

    side_by_side: bool
    """Whether `decode_batch` takes less time than one payload after the other."""

    def encode(self, codes: Codes) -> bytes:
        """Payload of whole numbers."""

    def bits(self, codes: Codes) -> NDArray[np.float64]:
        """Bits that the codes of each codebook take, all of them coded together `[num_quantizers]`."""

    def decode(self, payload: bytes, shape: Shape) -> Codes:
        """Codes of a payload that holds this shape."""

    def decode_batch(self, payloads: Sequence[bytes], shape: Shape) -> list[Codes | BitstreamError]:
        """Codes of several payloads of one shape; in place of those that cannot be decoded, the error."""


def decode_each(
    decode: Callable[[bytes, Shape], Codes], payloads: Sequence[bytes], shape: Shape
) -> list[Codes | BitstreamError]:
    """`Coder.decode_batch` by decoding one payload after the other."""
    return [_decoded(decode, payload, shape) for payload in payloads]


def _decoded(decode: Callable[[bytes, Shape], Codes], payload: bytes, shape: Shape) -> Codes | BitstreamError:
    try:
        return decode(payload, shape)
    except BitstreamError as error:
        return error


def coded_bits(widths: NDArray[np.integer]) -> NDArray[np.float64]:
    """Bits of each codebook `[num_quantizers]` for frequencies `[frames, num_quantizers, channels]`."""
    return np.asarray((TOTAL_BITS - np.log2(widths)).sum(axis=(0, 2)))


def checksum(codes: Codes) -> int:
    """The low half of the CRC-32 of codes `[channels, num_quantizers, frames]`, as 16-bit words in coding order."""
    return zlib.crc32(codes.transpose(2, 1, 0).astype("<u2").tobytes()) & 0xFFFF


def check_codes(codes: Codes, shape: tuple[int, ...]) -> None:
    num_quantizers, size = shape
    if codes.ndim != 3 or not np.issubdtype(codes.dtype, np.integer) or codes.shape[1] > num_quantizers:
        raise ConfigError(
            f"codes are {codes.dtype} {list(codes.shape)}; expected whole numbers "
            f"[channels, at most {num_quantizers}, frames]"
        )
    if codes.size and not 0 <= codes.min() <= codes.max() < size:
        raise ConfigError(f"codes lie from {codes.min()} to {codes.max()}; expected 0 to {size - 1}")
