"""What is heard in the place of packets that did not come: the last sound, fading to silence.

All of it happens to latents, so that the decoder, which goes on as ever, joins sounds without clicks. The values are
those that PESQ, STOI and the log-mel distance like best on speech: docs/guides/live.md.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array

DECAY_S = 0.26
"""Time in which the last sound's distance from silence falls to 1/e: 5 % of it in a 75th of a second."""
FADE_FROM_S, FADE_S = 2 / 15, 1 / 5
"""After what time it also fades in a straight line, and over what time: a third of a second ends in silence."""
NEXT_SHARE = 0.7
"""Weight of the sound to come in the last frame before it, where it is known."""


class Concealer:
    """Guesses the latents of lost frames from those before, and after.

    Args:
        silence: latents of silence `[latent_dim]`; those of zero are the average sound.
        channels: signals side by side.
        frame_rate: frames per second.
        level_bands: latents, the last ones, to which each frame adds: what is lost adds nothing, and gains fade.
    """

    def __init__(self, silence: Array, channels: int, frame_rate: float, level_bands: int = 0) -> None:
        self._frame_rate, self._level_bands = frame_rate, level_bands
        self._silence = silence[:, None]
        self._last = np.tile(self._silence, (channels, 1, 1))
        self._lost_frames = 0

    def note(self, latents: Array) -> None:
        """Remember latents `[channels, latent_dim, frames]` that came."""
        self._last, self._lost_frames = latents[:, :, -1:].copy(), 0

    def guess(self, frames: int, following: Array | None = None) -> Array:
        """Latents `[channels, latent_dim, frames]` of the next frames, which are lost.

        Args:
            following: latents of the frames after them, if these are here already.
        """
        lost = np.arange(self._lost_frames + 1, self._lost_frames + frames + 1)
        guessed = self._silence + _weights(lost / self._frame_rate) * (self._last - self._silence)
        self._lost_frames = min(self._lost_frames + frames, math.ceil((FADE_FROM_S + FADE_S) * self._frame_rate))
        if following is not None:
            guessed[:, :, -1] += NEXT_SHARE * (following[:, :, 0] - guessed[:, :, -1])
        guessed[:, guessed.shape[1] - self._level_bands :] = 0
        return guessed


def _weights(lost_s: NDArray[np.float64]) -> Array:
    """Weight of the last sound after so many seconds without any."""
    weights = np.exp(-lost_s / DECAY_S) * np.clip(1 - (lost_s - FADE_FROM_S) / FADE_S, 0, 1)
    return weights.astype(np.float32)
