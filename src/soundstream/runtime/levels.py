"""Codes of levels: what a decoder lacks in bands, found frame by frame; `nn.levels` says what they are.

Source: ours.
"""

from __future__ import annotations

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.runtime.session import Network
from soundstream.spec import Levels


class LevelCoder:
    """The codes of gains, and what is left of those before: one entry a frame is added to their decayed sum.

    Args:
        codebook: entries `[codebook_size, bands]`.
        network: latents and quantized ones to gains.
        streams: signals side by side.
    """

    def __init__(self, levels: Levels, codebook: Array, network: Network, streams: int) -> None:
        self._codebook, self._network, self._memory = codebook, network, np.float32(levels.memory)
        self._half_norms = 0.5 * np.square(codebook).sum(axis=1)
        self._state = network.init_state(streams)
        self._total = np.zeros((streams, levels.bands), np.float32)

    def push(self, latents: Array, quantized: Array) -> Codes:
        """Codes `[streams, frames]`.

        Args:
            latents: `[streams, latent_dim, frames]`, the levels of the sound behind them.
            quantized: likewise, without levels.
        """
        inputs = {"latents": latents, "quantized": quantized}
        inputs = {name: np.ascontiguousarray(value[:, :, None]) for name, value in inputs.items()}
        gains, self._state = self._network.step(self._state, **inputs)
        codes = np.empty((len(gains), gains.shape[3]), np.int64)
        for frame, wanted in enumerate(np.moveaxis(gains[:, :, 0], 2, 0)):
            codes[:, frame] = self._next(wanted)
        return codes

    def _next(self, wanted: Array) -> Codes:
        """The codes of a frame `[streams]`; rows one by one, so that none depends on its neighbours."""
        self._total *= self._memory
        missing = wanted - self._total
        found = np.array([(self._half_norms - self._codebook @ row).argmin() for row in missing])
        self._total += self._codebook[found]
        return found
