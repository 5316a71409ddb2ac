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

from soundstream.entropy.bounds import TOTAL, TOTAL_BITS
from soundstream.entropy.grid import ABSENT, Cells, Codes, Counts, Grid, Shape
from soundstream.errors import BitstreamError, ConfigError


class Coder(Protocol):
    """Codes `[channels, num_quantizers, frames]` to a payload and back; every payload decodes alone."""

    side_by_side: bool
    """Whether `decode_batch` takes less time than one payload after the other."""

    def encode(self, codes: Codes) -> bytes:
        """Payload of whole numbers; those that are ABSENT are not in it."""

    def bits(self, codes: Codes) -> NDArray[np.float64]:
        """Bits that the codes of each codebook take, all of them coded together `[num_quantizers]`."""

    def decode(self, payload: bytes, shape: Shape, counts: Counts | None = None) -> Codes:
        """Codes of a payload that holds this shape, with as many codebooks in each frame; None is all of them."""

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


def coded_bits(widths: NDArray[np.integer], cells: Cells) -> NDArray[np.float64]:
    """Bits of each codebook `[num_quantizers]` for frequencies `[frames, num_quantizers, channels]`."""
    return np.asarray((TOTAL_BITS - np.log2(np.where(cells, widths, TOTAL))).sum(axis=(0, 2)))


def checksum(codes: Codes, cells: Cells | None = None) -> int:
    """The low half of the CRC-32 of codes `[channels, num_quantizers, frames]`, as 16-bit words in coding order.

    Args:
        cells: where codes stand; None is everywhere.
    """
    ordered = codes.transpose(2, 1, 0)
    return zlib.crc32((ordered if cells is None else ordered[cells]).astype("<u2").tobytes()) & 0xFFFF


def check_codes(codes: Codes, sizes: NDArray[np.integer], grid: Grid) -> None:
    """Refuse what is not whole codes of the first codebooks `[channels, at most num_quantizers, frames]`.

    Args:
        sizes: entries of each codebook `[num_quantizers]`.
    Raises:
        ConfigError: the shape, the type or a value is another.
    """
    if codes.ndim != 3 or not np.issubdtype(codes.dtype, np.integer) or codes.shape[1] > len(sizes):
        raise ConfigError(
            f"codes are {codes.dtype} {list(codes.shape)}; expected whole numbers "
            f"[channels, at most {len(sizes)}, frames]"
        )
    check_sizes(codes, sizes[: codes.shape[1]], grid)
    grid.check_whole(codes.shape, ConfigError)


def check_sizes(codes: Codes, sizes: NDArray[np.integer], grid: Grid) -> None:
    """Refuse codes `[channels, num_quantizers, frames]` that are not below the sizes of their codebooks.

    Codebooks without strides may end earlier in some frames: ABSENT stands for their codes there.

    Raises:
        ConfigError: one is not, or ABSENT stands before a code, or for all of a frame.
    """
    lowest = int(codes.min()) if codes.size else 0
    has_gaps = lowest < ABSENT or (lowest < 0 and (grid.is_strided or not _ends_early(codes)))
    if has_gaps or (codes >= sizes[:, None]).any():
        raise ConfigError(f"codes lie from {codes.min()} to {codes.max()}; expected 0 to {sizes.max() - 1}")


def _ends_early(codes: Codes) -> bool:
    """Whether the codes that are there are the first ones of each frame, at least one."""
    present = codes >= 0
    return bool(present[:, 0].all() and (present[:, :-1] >= present[:, 1:]).all())
