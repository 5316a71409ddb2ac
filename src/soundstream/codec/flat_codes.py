"""Codes in one row, as language models take them: coarse to fine, interleaved by time.

    strides 4, 2, 1       a     |  a     |  a     |  a        codebook of stride 4
                          b     |  b     |  c     |  c        of stride 2
                          d     |  e     |  f     |  g        of stride 1          one row: a b d e c f g

Each frame gives, from the coarsest codebook on, the codes that begin in it. Codebooks of one stride so follow each
other frame by frame. Source: the order in which models of SNAC's codes (Siuzdak et al., 2024) are trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Codes
from soundstream.entropy.grid import Grid
from soundstream.errors import ConfigError


def flatten_codes(codes: Codes, strides: Sequence[int]) -> Codes:
    """All codes in one row, each once.

    Args:
        codes: `[..., num_quantizers, frames]`, a code in each of the frames that it covers.
        strides: frames that a code covers, by codebook, as `CodecSpec.strides` says.
    Returns:
        `[..., tokens]`, of each granule of frames as many as codes begin in it.
    Raises:
        ConfigError: the strides are of another number of codebooks, a code does not cover whole frames, or one changes
            inside of those that it covers.
    """
    codes = np.asarray(codes)
    if codes.ndim < 2:
        raise ConfigError(f"codes are {list(codes.shape)}; expected [num_quantizers, frames]")
    grid = _grid(strides, codes.shape[-2])
    grid.check_whole((1, *codes.shape[-2:]), ConfigError)
    columns = np.moveaxis(codes, (-1, -2), (0, 1))
    if (grid.repeated(columns) != columns).any():
        raise ConfigError(f"a code changes inside of the frames that it covers; expected codes of strides {[*strides]}")
    return np.moveaxis(columns[_begins(grid, *columns.shape[:2])], 0, -1)


def unflatten_codes(tokens: Codes, strides: Sequence[int]) -> Codes:
    """Inverse of `flatten_codes`: `[..., tokens]` to `[..., num_quantizers, frames]`.

    Raises:
        ConfigError: the tokens are not those of whole granules.
    """
    tokens, grid = np.asarray(tokens), _grid(strides, len(strides))
    each = sum(grid.granule // stride for stride in strides)
    if tokens.ndim < 1 or tokens.shape[-1] % each:
        raise ConfigError(f"there are {list(tokens.shape)} tokens; expected a multiple of {each}, for {[*strides]}")
    frames = tokens.shape[-1] // each * grid.granule
    columns = np.zeros((frames, len(strides), *tokens.shape[:-1]), tokens.dtype)
    columns[_begins(grid, frames, len(strides))] = np.moveaxis(tokens, -1, 0)
    return np.moveaxis(grid.repeated(columns), (0, 1), (-1, -2))


def _grid(strides: Sequence[int], num_quantizers: int) -> Grid:
    if not strides or len(strides) != num_quantizers or min(strides) < 1:
        raise ConfigError(f"strides are {[*strides]}; expected those of {num_quantizers} codebooks, 1 or more")
    return Grid(1, [(1, stride) for stride in strides])


def _begins(grid: Grid, frames: int, num_quantizers: int) -> NDArray[np.bool_]:
    """Where a code begins `[frames, num_quantizers]`."""
    return grid.cells((1, num_quantizers, frames))[..., 0]
