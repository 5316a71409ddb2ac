"""Payloads of the context coder decoded side by side: each step finds one code of every one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.ans import TOTAL, Decoder
from soundstream.entropy.coder import Codes, Shape
from soundstream.entropy.context import ContextModel, Known

Integers = NDArray[np.int64]


def decode_side_by_side(model: ContextModel, decoders: Sequence[Decoder], shape: Shape) -> Codes:
    """Codes `[payloads, channels, num_quantizers, frames]` of fresh decoders of payloads, not yet checked.

    Args:
        shape: channels, num_quantizers and frames of each payload.
    """
    channels, num_quantizers, frames = shape
    rows = channels * len(decoders)
    known, room = Known(model, rows, num_quantizers), model.room(rows)
    codes = np.zeros((frames, num_quantizers, channels, len(decoders)), np.int64)
    search = Search(channels, len(decoders), model.vectors.shape[1])
    for frame in codes if rows else ():
        for q, found in enumerate(frame):
            search(decoders, model.widths(known.inputs, q, room), room.ends, found)
            known.push(q, found.reshape(rows))
    return np.ascontiguousarray(codes.transpose(3, 2, 1, 0))


class Search:
    """Finds codes among frequencies of `channels x payloads` rows, the payloads of a channel together.

    The sums of all frequencies run on from row to row, so that one search among them finds the codes of all payloads.
    """

    def __init__(self, channels: int, payloads: int, size: int) -> None:
        rows = range(channels * payloads)
        self._bases = [[TOTAL * row for row in rows[i : i + payloads]] for i in rows[::payloads]]
        self._places = size * np.arange(channels * payloads).reshape(channels, payloads)

    def __call__(self, decoders: Sequence[Decoder], widths: Integers, ends: Integers, out: Integers) -> None:
        """Take one code of every channel off each decoder, into `out` `[channels, payloads]`.

        Args:
            widths: frequencies `[channels x payloads, size]`.
            ends: room for their sums.
        """
        sums = np.add.accumulate(widths.reshape(-1), out=ends.reshape(-1))
        for bases, places, codes in zip(self._bases, self._places, out, strict=True):
            slots = [base + decoder.slot for base, decoder in zip(bases, decoders, strict=True)]
            found = sums.searchsorted(slots, side="right")
            np.subtract(found, places, out=codes)
            ends_, picked = sums.take(found).tolist(), widths.take(found).tolist()
            for decoder, base, end, width in zip(decoders, bases, ends_, picked, strict=True):
                decoder.take(end - width - base, width)
