"""Payloads of the context coder decoded side by side: each step finds one code of every one of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.ans import TOTAL, Decoders
from soundstream.entropy.coder import Codes, Shape
from soundstream.entropy.context import ContextModel, Known

Integers = NDArray[np.int64]


def decode_side_by_side(model: ContextModel, decoders: Decoders, shape: Shape) -> Codes:
    """Codes `[payloads, channels, num_quantizers, frames]` of fresh decoders, not yet checked.

    Args:
        shape: channels, num_quantizers and frames of each payload.
    """
    channels, num_quantizers, frames = shape
    rows = channels * len(decoders)
    known, room = Known(model, rows, num_quantizers), model.room(rows)
    codes = np.zeros((frames, num_quantizers, channels, len(decoders)), np.int64)
    search = _Search(decoders, channels, model.vectors.shape[1])
    for frame in codes if rows else ():
        for q, found in enumerate(frame):
            search(model.widths(known.inputs, q, room), room.ends, found)
            known.push(q, found.reshape(rows))
    return np.ascontiguousarray(codes.transpose(3, 2, 1, 0))


class _Search:
    """Finds codes among frequencies of `channels x payloads` rows, the payloads of a channel together.

    The sums of all frequencies run on from row to row, so that one search among them finds the codes of all payloads.
    """

    def __init__(self, decoders: Decoders, channels: int, size: int) -> None:
        rows = np.arange(channels * len(decoders), dtype=np.int64).reshape(channels, len(decoders))
        self._decoders, self._bases, self._places = decoders, list(TOTAL * rows), list(size * rows)

    def __call__(self, widths: Integers, ends: Integers, out: Integers) -> None:
        """Take one code of every channel off each payload, into `out` `[channels, payloads]`.

        Args:
            widths: frequencies `[channels x payloads, size]`.
            ends: room for their sums.
        """
        sums = np.add.accumulate(widths.reshape(-1), out=ends.reshape(-1))
        for base, place, codes in zip(self._bases, self._places, out, strict=True):
            found = sums.searchsorted(self._decoders.slots() + base, side="right")
            np.subtract(found, place, out=codes)
            picked = widths.take(found)
            starts = sums.take(found)
            starts -= picked
            starts -= base
            self._decoders.take(starts, picked)
