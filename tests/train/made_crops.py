"""Corpora of made sound, and crops of them."""

import numpy as np
import torch

import tiny
from soundstream.train.data.corpus import Corpus
from soundstream.train.data.crops import Crops, DataConfig

RATE = tiny.CONFIG.sample_rate
CORPUS = Corpus.of(
    RATE, {path: tiny.clip(2.5, i) for i, path in enumerate(("speech/a.wav", "speech/b.wav", "music/c.wav"))}
)
FIXED_GAIN = {"gain_db": (0.0, 0.0)}


def noise(seconds, level, seed=0):
    """White noise, int16 `[samples]`; level is its RMS, 1 being full scale."""
    values = level * 32768 * np.random.default_rng(seed).normal(size=int(seconds * RATE))
    return np.round(values).clip(-32768, 32767).astype(np.int16)


SCENE = Corpus.of(
    RATE,
    {"speech/a.wav": noise(3, 0.05, 1), "ambient/rain.wav": noise(3, 0.02, 2), "music/song.wav": noise(3, 0.1, 3)},
)
"""One clip of each category."""


def crops(corpus=CORPUS, seed=0, config=tiny.CONFIG, **changes):
    """Four crops of 52 frames a batch, unless changes say otherwise."""
    return Crops(corpus, DataConfig(**({"batch_size": 4, "crop_frames": 52} | changes)), config, seed)


def levels(*values):
    """A corpus of constant clips, by which a crop says what it comes from."""
    return Corpus.of(RATE, {path: np.full(length, level, np.int16) for path, length, level in values})


def decibels(ratio):
    """Ratios of amplitudes in dB."""
    return 20 * torch.log10(ratio)


def rms(audio):
    """`[..., samples]` to `[...]`."""
    return audio.square().mean(dim=-1).sqrt()


def equal(a, b):
    """Whether two batches are the same."""
    return all(x.equal(y) for x, y in zip(a, b, strict=True))


ALL = {
    "noise_probability": 0.5,
    "denoise_probability": 0.5,
    "mix_probability": 0.5,
    "band_limit_probability": 0.5,
    "noises": 3,
    "room_probability": 0.5,
}
"""Settings with all that is done to crops."""
NOISY = {"noise_probability": 1.0, "category_weights": {"speech": 1.0, "ambient": 0.0, "music": 0.0}}
"""All crops are speech with noise."""
