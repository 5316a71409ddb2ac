"""What is heard in the place of packets that did not come: the last sound, fading to silence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

DECAY = 0.8
"""What is left of the last sound's distance from silence after each lost frame."""


class Concealer:
    """Guesses the latents of lost frames from those before.

    Args:
        silence: latents of silence `[latent_dim]`.
        channels: signals side by side.
    """

    def __init__(self, silence: Array, channels: int) -> None:
        self._silence = silence[:, None]
        self._last = np.tile(self._silence, (channels, 1, 1))

    def note(self, latents: Array) -> None:
        """Remember latents `[channels, latent_dim, frames]` that came."""
        self._last = latents[:, :, -1:].copy()

    def guess(self, frames: int) -> Array:
        """Latents `[channels, latent_dim, frames]` of the next frames, which are lost."""
        weights = DECAY ** np.arange(1, frames + 1, dtype=np.float32)
        guessed = self._silence + weights * (self._last - self._silence)
        self.note(guessed)
        return guessed
