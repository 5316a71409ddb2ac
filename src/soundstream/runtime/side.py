"""Numbers that a segment has beside its codes, such as its gain, in the array of its codes.

A row behind those of the codebooks stands for each number: the bits of a float32, as a whole number, in every frame of
the segment. So one array has all that gives the sound back, whatever it is cut into.
"""

from __future__ import annotations

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.errors import ConfigError


def with_side(codes: Codes, side: Array) -> Codes:
    """Codes and the numbers of each frame in one array.

    Args:
        codes: `[..., num_quantizers, frames]`.
        side: `[..., side_numbers, frames]`.
    """
    bits = np.ascontiguousarray(side, np.float32).view(np.uint32).astype(np.int64)
    return np.concatenate([codes, bits], axis=-2)


def without_side(rows: Codes, side_numbers: int) -> tuple[Codes, Array]:
    """Codes `[..., num_quantizers, frames]` and numbers `[..., side_numbers, frames]` of what `with_side` gave.

    Raises:
        ConfigError: a row holds no numbers, as if it were one of codes.
    """
    codes, bits = np.split(rows, [rows.shape[-2] - side_numbers], axis=-2)
    if not side_numbers:
        return codes, np.zeros(bits.shape, np.float32)
    if bits.size and not (bits.min() >= 0 and bits.max() < 1 << 32):
        raise ConfigError(f"side numbers lie from {bits.min()} to {bits.max()}; expected the bits of float32")
    side = np.ascontiguousarray(bits).astype(np.uint32).view(np.float32)
    check_side(side)
    return codes, side


def check_side(side: Array) -> None:
    """Refuse side numbers that cannot be, such as codes that were taken for their bits.

    Raises:
        ConfigError: one is not finite, or so small that only a code has these bits.
    """
    tiny = (np.abs(side) < np.finfo(np.float32).tiny) & (side != 0)
    if tiny.any() or not np.isfinite(side).all():
        raise ConfigError(
            "side numbers are not finite, or below what a float32 holds; behind the rows of codes stand the bits of "
            "float32 numbers, as the codec gives them"
        )
