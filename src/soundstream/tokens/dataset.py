"""Tokens for training: pieces of equal length by number, and batches of them as PyTorch takes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from soundstream.arrays import Codes
from soundstream.errors import ConfigError
from soundstream.system.extras import extra, needs
from soundstream.tokens.patterns import Pattern
from soundstream.tokens.reader import Tokens

if TYPE_CHECKING:
    from torch import Tensor


class TokenDataset:
    """Pieces of all sounds, channel by channel, as tokens of a pattern.

    It has what `torch.utils.data.DataLoader` asks of a dataset, length and items, and needs no PyTorch itself:
    `DataLoader(dataset, batch_size=16, shuffle=True, collate_fn=dataset.collate, num_workers=2)`.

    Args:
        frames: of a piece; the last one of a sound may be shorter.
        min_frames: shorter ones are left out.
    Raises:
        ConfigError: no piece is that long, or the model has numbers beside its codes, which patterns do not hold.
    """

    def __init__(self, tokens: Tokens, pattern: Pattern, frames: int, min_frames: int = 1) -> None:
        if tokens.spec.side_numbers:
            raise ConfigError("codes of this model have numbers beside them, which tokens do not hold")
        if not 1 <= min_frames <= frames or frames % tokens.spec.granule:
            raise ConfigError(f"frames is {frames}; expected at least {min_frames}, in steps of {tokens.spec.granule}")
        self.tokens, self.pattern, self.frames = tokens, pattern, frames
        lengths = tokens.rows["frames"].astype(np.int64)
        self._ends = np.cumsum(lengths // frames + (lengths % frames >= min_frames))
        if not len(self):
            raise ConfigError(f"no sound of {tokens.place} has {min_frames} frames")

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, i: int) -> Codes:
        """Tokens of a piece, int64 `[num_quantizers, steps]` or flat `[tokens]`."""
        if not 0 <= i < len(self):
            raise IndexError(f"piece {i} of {len(self)}")
        stream = int(np.searchsorted(self._ends, i, side="right"))
        number = i - (int(self._ends[stream - 1]) if stream else 0)
        codes = self.tokens.stream_codes(self.tokens.rows[stream], number * self.frames, self.frames)
        return self.pattern.encode(codes)

    @property
    def collate(self) -> partial[dict[str, Tensor]]:
        """`collate` with the `pad` of the vocabulary."""
        return partial(collate, pad=self.pattern.vocabulary.pad)


def collate(pieces: Sequence[np.ndarray], pad: int) -> dict[str, Tensor]:
    """A batch of pieces of any lengths: `tokens`, filled up with `pad`, and `lengths`, both int64 tensors.

    Args:
        pieces: `[..., steps]`.
    Returns:
        tokens `[batch, ..., steps]`, lengths `[batch]`.
    """
    with needs(extra("train")):
        import torch
    lengths = [piece.shape[-1] for piece in pieces]
    tokens = np.full((len(pieces), *pieces[0].shape[:-1], max(lengths)), pad, np.int64)
    for row, piece in zip(tokens, pieces, strict=True):
        row[..., : piece.shape[-1]] = piece
    return {"tokens": torch.from_numpy(tokens), "lengths": torch.tensor(lengths)}
