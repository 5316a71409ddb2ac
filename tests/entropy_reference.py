"""The context coder written plainly, row by row in whole numbers: slow, and what the fast one must agree with."""

import numpy as np

from soundstream.entropy import ans
from soundstream.entropy.bounds import TOTAL
from soundstream.entropy.coder import checksum
from soundstream.entropy.context import fixed_point


def clipped(vector, shift):
    scaled = vector >> shift if shift >= 0 else vector << -shift
    return np.clip(scaled, -127, 127)


def frequencies(logits, table):
    """Frequencies `[symbols]` of logits `[symbols]`."""
    below = logits.max() - logits
    weights = table.astype(np.int64)[np.minimum(below, len(table) - 1)]
    scale = ((TOTAL - len(logits)) << 20) // weights.sum()
    result = (weights * scale >> 20) + 1
    result[logits.argmax()] += TOTAL - result.sum()
    return result


class Signal:
    """One channel: what is known of it, and the frequencies that follow."""

    def __init__(self, tables, vectors):
        self.tables = {name: array.astype(np.int64) for name, array in vars(tables).items() if array is not None}
        self.vectors = vectors
        self.zero = np.zeros(vectors.shape[2], np.int64)
        self.last = self.before = self.mean = self.so_far = self.above = self.zero
        self.entries = [self.zero] * len(vectors)

    def frequencies(self, q):
        t, shifts = self.tables, self.tables["vector_shifts"]
        frame = [
            clipped(self.so_far, 6),
            clipped(self.above, shifts[max(0, q - 1)]),
            clipped(self.entries[q], shifts[q]),
        ]
        known = np.concatenate([clipped(self.last, 6), clipped(self.before, 6), clipped(self.mean >> 4, 6), *frame])
        size = np.count_nonzero(t["static"][q])
        hidden = t["hidden_weights"][q] @ known + t["hidden_biases"][q] >> t["hidden_shifts"][q]
        logits = t["output_weights"][q] @ np.clip(hidden, 0, 127) + t["output_biases"][q] >> t["output_shifts"][q]
        return frequencies(logits[:size], t["exponentials"])

    def push(self, q, code):
        self.above = self.entries[q] = self.vectors[q, code] if code >= 0 else self.zero
        self.so_far = self.so_far + self.above

    def end_frame(self):
        self.mean = self.mean + ((self.so_far << 4) - self.mean >> 3)
        self.last, self.before = self.so_far, self.last
        self.so_far = self.above = self.zero


def walk(tables, codebooks, shape, choose, strides=None, counts=None):
    """Codes of `shape`, each as `choose` takes it by its place `(channel, q, frame)` and its frequencies."""
    channels, num_quantizers, frames = shape
    signals = [Signal(tables, fixed_point(codebooks).astype(np.int64)) for _ in range(channels)]
    codes = np.zeros(shape, np.int64)
    for frame in range(frames):
        for q in range(num_quantizers):
            for channel, signal in enumerate(signals):
                if frame % (strides or [1] * num_quantizers)[q]:
                    code = codes[channel, q, frame - 1]
                elif counts is not None and q >= counts[channel, frame]:
                    code = -1
                else:
                    code = choose((channel, q, frame), signal.frequencies(q))
                codes[channel, q, frame] = code
                signal.push(q, code)
        for signal in signals:
            signal.end_frame()
    return codes


def encode(tables, codebooks, codes, strides=None):
    """Payload of codes `[channels, num_quantizers, frames]`."""
    starts, widths = [], []

    def choose(place, table):
        starts.append(int(table[: codes[place]].sum()))
        widths.append(int(table[codes[place]]))
        return codes[place]

    counts = (codes >= 0).sum(axis=1)
    walk(tables, codebooks, codes.shape, choose, strides, counts)
    cells = (codes >= 0).transpose(2, 1, 0)
    if strides:
        cells = np.zeros((codes.shape[2], codes.shape[1], len(codes)), bool)
        for q, stride in enumerate(strides):
            cells[::stride, q] = True
    return ans.encode(starts, widths, checksum(codes, cells))


def decode(tables, codebooks, payload, shape):
    """What lies in a payload, checked or not: codes of `shape`, and the decoder after the last."""
    decoder = ans.Decoder(payload)

    def choose(place, table):
        ends = table.cumsum()
        code = int(ends.searchsorted(decoder.slot, side="right"))
        decoder.take(int(ends[code] - table[code]), int(table[code]))
        return code

    return walk(tables, codebooks, shape, choose), decoder
