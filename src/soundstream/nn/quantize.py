"""Residual vector quantizer: the latents as the sum of one entry of each codebook."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

DECAY = 0.99
"""Share of the usage statistics that is kept at each training step."""
DEAD_USAGE = 2.0
"""An entry with less usage is replaced."""
KMEANS_ITERATIONS = 12


class Quantized(NamedTuple):
    """What the quantizer makes of a batch of latents."""

    latents: Float[Tensor, "batch latent_dim frames"]
    """Quantized latents; gradients pass straight through to the input."""
    codes: Int[Tensor, "batch num_quantizers frames"]
    """Codes of all codebooks, whether or not an example uses them."""
    commitment: Float[Tensor, ""]
    """Sum over examples of the root mean square distance from the latents to their quantized values."""


class LatentNormalizer(nn.Module):
    """Subtract a running mean per channel and divide by one running standard deviation.

    Without it the scale of the latents drifts in training until the codebooks cannot follow: larger latents make the
    quantization error smaller for as long as codebooks and running figures lag behind. So the values come from the
    running figures, while gradients pass through those of the batch, which takes scale and offset out of them. At
    inference it is a fixed affine map, which export folds into the FiLM layer before it.

    Source: the gradient is that of batch renormalization (Ioffe, 2017); the paper does not say how it keeps the scale.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(()))

    def forward(self, x: Float[Tensor, "batch channels 1 frames"]) -> Float[Tensor, "batch channels 1 frames"]:
        if not self.training:
            return (x - self.mean[:, None, None]) / self.std
        x = x.float()
        mean = x.mean(dim=(0, 2, 3))
        std = (x - mean[:, None, None]).square().mean().sqrt() + 1e-6
        with torch.no_grad():
            self.mean.lerp_(mean, 1 - DECAY)
            self.std.lerp_(std, 1 - DECAY)
            scale, offset = std / self.std, (mean - self.mean) / self.std
        return (x - mean[:, None, None]) / std * scale + offset[:, None, None]


class ResidualVectorQuantizer(nn.Module):
    """Nearest entry of the first codebook, then of the second for what is left over, and so on.

    In training, codebooks follow exponential moving averages of the vectors assigned to them. Every example trains all
    codebooks, while its decoder input uses only as many as quantizer dropout gave it. `usage` is the discounted count
    of vectors assigned to an entry (about the last 100 steps); an entry below 2 is replaced by a random vector of the
    batch and its statistics start afresh.

    Source: SoundStream (Zeghidour et al., 2021), section III-C and Algorithm 1. Differs: equal distances go to the
    lower index; `usage` is a discounted sum, not an average, so that it serves batches of some hundred vectors.
    """

    def __init__(self, num_quantizers: int, codebook_size: int, latent_dim: int) -> None:
        super().__init__()
        shape = (num_quantizers, codebook_size, latent_dim)
        self.codebooks: Tensor
        self.usage: Tensor
        self.sums: Tensor
        self.register_buffer("codebooks", torch.randn(shape) * 0.5 ** torch.arange(num_quantizers)[:, None, None])
        self.register_buffer("usage", torch.full(shape[:2], 2 * DEAD_USAGE))
        self.register_buffer("sums", self.codebooks * 2 * DEAD_USAGE)

    def forward(
        self, latents: Float[Tensor, "batch latent_dim frames"], num_quantizers: Int[Tensor, " batch"]
    ) -> Quantized:
        """Quantize each example with its own number of codebooks (quantizer dropout)."""
        residual = latents.detach().float().transpose(1, 2)
        quantized = torch.zeros_like(residual)
        codes = []
        for q in range(len(self.codebooks)):
            index = self.nearest(residual, q)
            entries = self.codebooks[q][index]
            if self.training:
                self._follow(q, residual.flatten(0, 1), index.flatten())
            quantized += entries * (q < num_quantizers)[:, None, None]
            residual = residual - entries
            codes.append(index)
        quantized = quantized.transpose(1, 2)
        error = (latents.float() - quantized).square().mean(dim=(1, 2))
        commitment = (error + 1e-9).sqrt().sum()
        return Quantized(latents + (quantized - latents).detach(), torch.stack(codes, dim=1), commitment)

    def nearest(self, vectors: Float[Tensor, "*shape latent_dim"], q: int) -> Int[Tensor, "*shape"]:
        """Index of the entry of codebook `q` that is nearest to each vector."""
        codebook = self.codebooks[q]
        return (vectors @ codebook.T - 0.5 * codebook.square().sum(-1)).argmax(-1)

    @torch.no_grad()
    def encode(
        self, latents: Float[Tensor, "batch latent_dim frames"], num_quantizers: int
    ) -> Int[Tensor, "batch num_quantizers frames"]:
        """Codes of the first `num_quantizers` codebooks."""
        residual = latents.transpose(1, 2)
        codes = []
        for q in range(num_quantizers):
            codes.append(self.nearest(residual, q))
            residual = residual - self.codebooks[q][codes[-1]]
        return torch.stack(codes, dim=1)

    def decode(self, codes: Int[Tensor, "batch num_quantizers frames"]) -> Float[Tensor, "batch latent_dim frames"]:
        """Sum of the entries that the codes name."""
        entries = [self.codebooks[q][codes[:, q]] for q in range(codes.shape[1])]
        return torch.stack(entries).sum(0).transpose(1, 2)

    @torch.no_grad()
    def _follow(self, q: int, vectors: Tensor, index: Tensor) -> None:
        self.usage[q] *= DECAY
        self.sums[q] *= DECAY
        self.usage[q].index_add_(0, index, torch.ones_like(index, dtype=torch.float32))
        self.sums[q].index_add_(0, index, vectors)
        self._replace_dead(q, vectors)
        self.codebooks[q] = self.sums[q] / self.usage[q][:, None]

    def _replace_dead(self, q: int, vectors: Tensor) -> None:
        dead = (self.usage[q] < DEAD_USAGE)[:, None]
        fresh = vectors[torch.randint(len(vectors), (len(dead),), device=vectors.device)]
        self.sums[q] = torch.where(dead, fresh * 2 * DEAD_USAGE, self.sums[q])
        self.usage[q] = torch.where(dead[:, 0], torch.full_like(self.usage[q], 2 * DEAD_USAGE), self.usage[q])

    @torch.no_grad()
    def fit(self, vectors: Float[Tensor, "vectors latent_dim"]) -> None:
        """Start all codebooks by k-means, each on what the ones before it leave over."""
        residual = vectors.float()
        for q in range(len(self.codebooks)):
            self.codebooks[q], self.usage[q] = kmeans(residual, self.codebooks.shape[1])
            self.usage[q].clamp_(min=2 * DEAD_USAGE)
            self.sums[q] = self.codebooks[q] * self.usage[q][:, None]
            residual = residual - self.codebooks[q][self.nearest(residual, q)]


def kmeans(
    vectors: Float[Tensor, "vectors dim"], clusters: int
) -> tuple[Float[Tensor, "clusters dim"], Float[Tensor, " clusters"]]:
    """Lloyd's algorithm from random vectors: centres and their numbers of vectors; empty clusters are drawn anew."""
    centres = vectors[torch.randint(len(vectors), (clusters,))]
    for _ in range(KMEANS_ITERATIONS):
        index = (vectors @ centres.T - 0.5 * centres.square().sum(-1)).argmax(-1)
        counts = torch.bincount(index, minlength=clusters).float()
        sums = torch.zeros_like(centres).index_add_(0, index, vectors)
        fresh = vectors[torch.randint(len(vectors), (clusters,))]
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], fresh)
    return centres, counts
