"""The residual vector quantizer of a trained model, in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Array = NDArray[np.float32]
Codes = NDArray[np.int64]


class Quantizer:
    """Search and look-up in the codebooks `[num_quantizers, codebook_size, latent_dim]`.

    Source: SoundStream (Zeghidour et al., 2021), Algorithm 1. Equal distances go to the lower index.
    """

    def __init__(self, codebooks: Array) -> None:
        self.codebooks = codebooks
        self._transposed = np.ascontiguousarray(codebooks.transpose(0, 2, 1))
        self._half_norms = 0.5 * np.square(codebooks).sum(-1)
        self._threads = ThreadpoolController()

    def encode(self, latents: Array, num_quantizers: int) -> Codes:
        """Codes `[..., num_quantizers, frames]` of latents `[..., latent_dim, frames]`.

        The nearest entry minimises |c|^2 / 2 - r.c, so that a codebook costs one matrix product over all frames. These
        are so small that a second BLAS thread costs up to ten times what it saves: one does the work.
        """
        with self._threads.limit(limits=1, user_api="blas"):
            return self._search(latents, num_quantizers)

    def _search(self, latents: Array, num_quantizers: int) -> Codes:
        residual = np.ascontiguousarray(np.moveaxis(latents, -2, -1))
        codes = []
        for q in range(num_quantizers):
            distances = self._half_norms[q] - residual @ self._transposed[q]
            codes.append(distances.argmin(-1))
            residual = residual - self.codebooks[q][codes[-1]]
        return np.stack(codes, axis=-2)

    def decode(self, codes: Codes) -> Array:
        """Latents `[..., latent_dim, frames]` of codes `[..., num_quantizers, frames]`."""
        latents = self.codebooks[0][codes[..., 0, :]]
        for q in range(1, codes.shape[-2]):
            latents = latents + self.codebooks[q][codes[..., q, :]]
        return np.moveaxis(latents, -1, -2)
