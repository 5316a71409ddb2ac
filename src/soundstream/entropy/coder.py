"""What every entropy coder can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from soundstream.errors import BitstreamError

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
