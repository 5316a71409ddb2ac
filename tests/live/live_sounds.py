"""Sounds for the tests of live sessions."""

import numpy as np

RATE = 24_000
HOP = 320


def noise(samples, seed=0, channels=1):
    """Pcm `[channels, samples]`; the same for the same seed."""
    return np.random.default_rng(seed).normal(0, 0.1, (channels, samples)).astype(np.float32)
