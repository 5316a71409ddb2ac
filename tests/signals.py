"""Sound for tests of families, and streams in pieces."""

import numpy as np


def noise(samples, channels=2):
    """Pcm `[channels, samples]`; the same for the same length."""
    return np.random.default_rng(samples).normal(0, 0.2, (channels, samples)).clip(-1, 1).astype(np.float32)


def joined(push, flush, items, size):
    """What a stream makes of `items` in pieces of `size` along the last axis."""
    parts = [push(items[..., start : start + size]) for start in range(0, items.shape[-1], size)]
    return np.concatenate([*parts, flush()], axis=-1)
