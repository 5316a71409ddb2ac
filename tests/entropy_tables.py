"""Entropy tables and codebooks with random values, for tests that do not care what they predict."""

import numpy as np

from soundstream.entropy import Tables
from soundstream.entropy.bounds import TOTAL
from soundstream.entropy.frequencies import exponentials

QUANTIZERS, SIZE, DIM, HIDDEN = 4, 32, 8, 16


def codebooks(seed=0, scale=1.0):
    """Codebooks `[4, 32, 8]`, each finer than the one before, whose values a float16 holds."""
    values = np.random.default_rng(seed).normal(0, scale, (QUANTIZERS, SIZE, DIM))
    values *= 0.4 ** np.arange(QUANTIZERS)[:, None, None]
    return values.astype(np.float16).astype(np.float32)


def tables(seed=0, strength=127, shape=(QUANTIZERS, SIZE, DIM), sizes=None, **changes):
    """Tables for codebooks of this shape, or with fewer entries, whose weights reach up to `strength`."""
    count, size, dim = shape
    rng = np.random.default_rng(seed)

    def weights(*shape):
        return rng.integers(-strength, strength + 1, shape).astype(np.int8)

    static = rng.integers(1, 200, (count, size))
    static *= np.arange(size) < np.array(sizes or [size] * count)[:, None]
    static[:, 0] += TOTAL - static.sum(1)
    fields = {
        "static": static.astype(np.int32),
        "exponentials": exponentials(),
        "vector_shifts": np.arange(6, 6 - count, -1, dtype=np.int32),
        "hidden_weights": weights(count, HIDDEN, 6 * dim),
        "hidden_biases": rng.integers(-1000, 1000, (count, HIDDEN)).astype(np.int32),
        "hidden_shifts": np.full(count, 7, np.int32),
        "output_weights": weights(count, size, HIDDEN),
        "output_biases": rng.integers(-1000, 1000, (count, size)).astype(np.int32),
        "output_shifts": np.full(count, 9, np.int32),
    }
    return Tables(**(fields | changes))


def codes(channels=1, num_quantizers=QUANTIZERS, frames=20, seed=0):
    return np.random.default_rng(seed).integers(0, SIZE, (channels, num_quantizers, frames))
