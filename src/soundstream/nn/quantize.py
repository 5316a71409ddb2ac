"""Residual vector quantizer: the latents as the sum of one entry of each codebook."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from soundstream.nn import distributed
from soundstream.nn.config import QuantizerForm

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


class Stage(NamedTuple):
    """What one codebook makes of what is left over."""

    code: Int[Tensor, "batch frames"]
    seen: Float[Tensor, "batch frames width"]
    """What entries are compared with."""
    entry: Float[Tensor, "batch frames width"]
    output: Float[Tensor, "batch frames channels"]
    """What the entry stands for; gradients pass straight through to `seen`."""


class LatentNormalizer(nn.Module):
    """Subtract a running mean per channel and divide by one running standard deviation.

    Without it the scale of the latents drifts in training until the codebooks cannot follow: larger latents make the
    quantization error smaller for as long as codebooks and running figures lag behind. So the values come from the
    running figures, while gradients pass through those of the batch, over all processes, which takes scale and offset
    out of them. At inference it is a fixed affine map, which export folds into the FiLM layer before it.

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
        mean = distributed.mean(x.mean(dim=(0, 2, 3)))
        std = distributed.mean((x - mean[:, None, None]).square().mean()).sqrt() + 1e-6
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
    batch and its statistics start afresh. Counts, sums and the vectors drawn are those of the whole batch, so that
    the codebooks of several processes stay the same. All of it is computed in float32 whatever autocast says.

    A form that is not plain puts projections between latents and entries, which learn by gradients, and has groups and
    strides: a code of several frames stands in each of them. Such codebooks are searched for with one path.

    Source: SoundStream (Zeghidour et al., 2021), section III-C and Algorithm 1. Differs: equal distances go to the
    lower index; `usage` is a discounted sum, not an average, so that it serves batches of some hundred vectors; in
    training the search may keep several paths. Factorised codebooks: DAC (Kumar et al., 2023), section 3.2, which
    learns entries by gradients too; several strides: SNAC (Siuzdak et al., 2024).
    """

    def __init__(
        self, num_quantizers: int, codebook_size: int, latent_dim: int, form: QuantizerForm | None = None
    ) -> None:
        super().__init__()
        self.form = form or QuantizerForm()
        self.is_plain = self.form == QuantizerForm()
        self.effort = 1
        """Paths that the search keeps in training; `encode` keeps one."""
        inner = self.form.group_width or latent_dim
        shape = (num_quantizers, codebook_size, self.form.width or inner)
        self.sizes = self.form.sizes or (codebook_size,) * num_quantizers
        """Entries of each codebook; those behind them are never found."""
        self.strides = self.form.strides * (num_quantizers // len(self.form.strides))
        names = self.form.groups * (num_quantizers // len(self.form.groups))
        starts = [i for i, name in enumerate(names) if not i or name != names[i - 1]]
        self.groups = [range(start, end) for start, end in itertools.pairwise([*starts, num_quantizers])]
        if self.form.width:
            self.project_in = nn.Parameter(torch.randn(num_quantizers, shape[2], inner) / math.sqrt(inner))
            self.bias_in = nn.Parameter(torch.zeros(num_quantizers, shape[2]))
            self.project_out = nn.Parameter(torch.randn(num_quantizers, inner, shape[2]) / math.sqrt(shape[2]))
            self.bias_out = nn.Parameter(torch.zeros(num_quantizers, inner))
        if self.form.group_width:
            self.group_in = nn.Parameter(torch.randn(len(starts), inner, latent_dim) / math.sqrt(latent_dim))
            self.group_out = nn.Parameter(torch.randn(len(starts), latent_dim, inner) / math.sqrt(inner))
        self.codebooks: Tensor
        self.usage: Tensor
        self.sums: Tensor
        self.register_buffer("codebooks", torch.randn(shape) * 0.5 ** torch.arange(num_quantizers)[:, None, None])
        self.register_buffer("usage", torch.full(shape[:2], 2 * DEAD_USAGE))
        self.register_buffer("sums", self.codebooks * 2 * DEAD_USAGE)

    def forward(
        self,
        latents: Float[Tensor, "batch latent_dim frames"],
        num_quantizers: Int[Tensor, " batch"],
        use: Float[Tensor, "batch num_quantizers #frames"] | None = None,
    ) -> Quantized:
        """Quantize each example with its own number of codebooks (quantizer dropout).

        Args:
            use: 1 where a frame has a codebook, else 0, in the place of these numbers; gradients pass to it.
        """
        if use is None:
            places = torch.arange(len(self.codebooks), device=latents.device)
            use = (places < num_quantizers[:, None]).float()[..., None]
        if not self.is_plain:
            with torch.autocast(latents.device.type, enabled=False):
                return self._factored(latents.float(), use)
        with torch.autocast(latents.device.type, enabled=False):
            vectors = latents.detach().float().transpose(1, 2)
            codes, residuals = self._best(vectors, num_quantizers)
            quantized = (self._entries(codes) * use[..., None]).sum(1).transpose(1, 2)
            if self.training:
                self._follow(residuals, codes)
        error = (latents.float() - quantized.detach()).square().mean(dim=(1, 2))
        commitment = (error + 1e-9).sqrt().sum()
        to_use = quantized - quantized.detach()
        return Quantized(latents + (quantized - latents).detach() + to_use, codes, commitment)

    def _factored(
        self,
        latents: Float[Tensor, "batch latent_dim frames"],
        use: Float[Tensor, "batch num_quantizers #frames"],
    ) -> Quantized:
        """`forward` of a form that is not plain; the commitment is to the entries, where they are compared."""
        stages = list(self._stages(latents.transpose(1, 2)))
        quantized, commitment = torch.zeros_like(latents.transpose(1, 2)), latents.new_zeros(())
        for stage, mask in zip(stages, use.transpose(0, 1), strict=True):
            quantized = quantized + stage.output * mask[..., None]
            error = ((stage.seen - stage.entry).square().mean(dim=2) * mask.detach()).mean(dim=1)
            commitment = commitment + ((error + 1e-9).sqrt() * mask.detach().amax(1)).sum()
        codes = torch.stack([stage.code for stage in stages], dim=1)
        if self.training:
            self._follow(torch.stack([stage.seen.detach() for stage in stages]), codes)
        return Quantized(quantized.transpose(1, 2), codes, commitment)

    def _stages(self, vectors: Float[Tensor, "batch frames latent_dim"]) -> Iterator[Stage]:
        """One codebook after the other, each on what those of its group before it leave over."""
        for group, books in enumerate(self.groups):
            rest = vectors @ self.group_in[group].T if self.form.group_width else vectors
            for q in books:
                stage = self._stage(rest, q)
                rest = rest - stage.output
                into = stage.output @ self.group_out[group].T if self.form.group_width else stage.output
                yield stage._replace(output=into)

    def _stage(self, rest: Float[Tensor, "batch frames inner"], q: int) -> Stage:
        """Quantize with one codebook; everything is repeated for the frames that a code covers."""
        stride = self.strides[q]
        batch, frames, channels = rest.shape
        seen = rest.reshape(batch, frames // stride, stride, channels).mean(2) if stride > 1 else rest
        if self.form.width:
            seen = seen @ self.project_in[q].T + self.bias_in[q]
        code = self.nearest(seen.detach(), q)
        entry = self.codebooks[q][code]
        output = seen + (entry - seen).detach()
        if self.form.width:
            output = output @ self.project_out[q].T + self.bias_out[q]
        seen, entry, output, code = (part.repeat_interleave(stride, 1) for part in (seen, entry, output, code))
        return Stage(code, seen, entry, output)

    def _outputs(self) -> Float[Tensor, "num_quantizers codebook_size latent_dim"]:
        """What each entry stands for in the latents."""
        if self.is_plain:
            return self.codebooks
        found = self.codebooks
        if self.form.width:
            found = found @ self.project_out.transpose(1, 2) + self.bias_out[:, None]
        if self.form.group_width:
            parts = [found[books.start : books.stop] @ self.group_out[i].T for i, books in enumerate(self.groups)]
            found = torch.cat(parts)
        return found

    def _best(
        self, vectors: Float[Tensor, "batch frames latent_dim"], num_quantizers: Int[Tensor, " batch"]
    ) -> tuple[Int[Tensor, "batch num_quantizers frames"], Float[Tensor, "num_quantizers batch frames latent_dim"]]:
        """Codes of all codebooks and what each was to quantize, found with `effort` paths.

        An example's first codes are the best path of as many codebooks as it uses; the others go on from there.
        """
        if self.effort == 1:
            return self._search(vectors, len(self.codebooks))
        ends = num_quantizers.repeat_interleave(vectors.shape[1])
        found = beam_search(self.codebooks, vectors.flatten(0, 1), ends, self.effort)
        codes = found.view(*vectors.shape[:2], -1).transpose(1, 2)
        sums = self._entries(codes).transpose(0, 1).cumsum(0)
        return codes, torch.cat([vectors[None], vectors - sums[:-1]])

    def _search(
        self, vectors: Float[Tensor, "batch frames latent_dim"], num_quantizers: int
    ) -> tuple[Int[Tensor, "batch num_quantizers frames"], Float[Tensor, "num_quantizers batch frames latent_dim"]]:
        """Codes of the first codebooks, and what each of them was to quantize."""
        residual, residuals, codes = vectors, [], []
        for q in range(num_quantizers):
            residuals.append(residual)
            codes.append(self.nearest(residual, q))
            residual = residual - self.codebooks[q][codes[-1]]
        return torch.stack(codes, dim=1), torch.stack(residuals)

    def _entries(
        self, codes: Int[Tensor, "batch num_quantizers frames"]
    ) -> Float[Tensor, "batch num_quantizers frames latent_dim"]:
        """The entries that the codes name."""
        return torch.stack([self.codebooks[q][codes[:, q]] for q in range(codes.shape[1])], dim=1)

    def nearest(self, vectors: Float[Tensor, "*shape latent_dim"], q: int) -> Int[Tensor, "*shape"]:
        """Index of the entry of codebook `q` that is nearest to each vector."""
        codebook = self.codebooks[q, : self.sizes[q]]
        if self.form.cosine:
            vectors, codebook = (functional.normalize(part, dim=-1) for part in (vectors, codebook))
        return (vectors @ codebook.T - 0.5 * codebook.square().sum(-1)).argmax(-1)

    @torch.no_grad()
    def encode(
        self, latents: Float[Tensor, "batch latent_dim frames"], num_quantizers: int
    ) -> Int[Tensor, "batch num_quantizers frames"]:
        """Codes of the first `num_quantizers` codebooks."""
        if not self.is_plain:
            stages = itertools.islice(self._stages(latents.transpose(1, 2)), num_quantizers)
            return torch.stack([stage.code for stage in stages], dim=1)
        return self._search(latents.transpose(1, 2), num_quantizers)[0]

    def decode(self, codes: Int[Tensor, "batch num_quantizers frames"]) -> Float[Tensor, "batch latent_dim frames"]:
        """Sum of the entries that the codes name."""
        outputs = self._outputs()
        return torch.stack([outputs[q][codes[:, q]] for q in range(codes.shape[1])], dim=1).sum(1).transpose(1, 2)

    @torch.no_grad()
    def _follow(
        self,
        residuals: Float[Tensor, "num_quantizers batch frames latent_dim"],
        codes: Int[Tensor, "batch num_quantizers frames"],
    ) -> None:
        number, size, dim = self.codebooks.shape
        index = (codes + size * torch.arange(number, device=codes.device)[:, None]).transpose(0, 1).flatten()
        counts = (
            torch.zeros_like(self.usage).flatten().index_add_(0, index, torch.ones_like(index, dtype=torch.float32))
        )
        sums = torch.zeros_like(self.sums).flatten(0, 1).index_add_(0, index, residuals.reshape(-1, dim))
        self.usage.mul_(DECAY).add_(distributed.total(counts).view_as(self.usage))
        self.sums.mul_(DECAY).add_(distributed.total(sums).view_as(self.sums))
        self._replace_dead(residuals)
        self.codebooks.copy_(self.sums / self.usage[..., None])

    def _replace_dead(self, residuals: Tensor) -> None:
        dead = self.usage < DEAD_USAGE
        fresh = self._drawn(residuals) * 2 * DEAD_USAGE
        self.sums.copy_(torch.where(dead[..., None], fresh, self.sums))
        self.usage.masked_fill_(dead, 2 * DEAD_USAGE)

    def _drawn(self, residuals: Tensor) -> Tensor:
        """A random vector of the whole batch for each entry; each process gives those that it holds."""
        number, batch, frames, _ = residuals.shape
        draw = torch.randint(distributed.count() * batch * frames, self.usage.shape, device=residuals.device)
        example, frame = draw // frames, draw % frames
        here = example % distributed.count() == distributed.rank()
        codebook = torch.arange(number, device=residuals.device)[:, None]
        vectors = residuals[codebook, example // distributed.count(), frame]
        return distributed.total(torch.where(here[..., None], vectors, torch.zeros_like(vectors)))

    @torch.no_grad()
    def fit(self, vectors: Float[Tensor, "vectors latent_dim"]) -> None:
        """Start all codebooks by k-means, each on what the ones before it leave over."""
        for group, books in enumerate(self.groups):
            residual = vectors.float() @ self.group_in[group].T if self.form.group_width else vectors.float()
            for q in books:
                residual = residual - self._fitted(residual, q)

    def _fitted(self, residual: Float[Tensor, "vectors inner"], q: int) -> Float[Tensor, "vectors inner"]:
        """Start codebook q by k-means; returns what its entries stand for."""
        seen = residual @ self.project_in[q].T + self.bias_in[q] if self.form.width else residual
        used = slice(self.sizes[q])
        self.codebooks[q, used], self.usage[q, used] = kmeans(seen, self.sizes[q])
        self.usage[q].clamp_(min=2 * DEAD_USAGE)
        self.sums[q] = self.codebooks[q] * self.usage[q][:, None]
        entry = self.codebooks[q][self.nearest(seen, q)]
        return entry @ self.project_out[q].T + self.bias_out[q] if self.form.width else entry


@torch.no_grad()
def beam_search(
    codebooks: Float[Tensor, "num_quantizers codebook_size dim"],
    vectors: Float[Tensor, "vectors dim"],
    ends: Int[Tensor, " vectors"],
    paths: int,
) -> Int[Tensor, "vectors num_quantizers"]:
    """Codes of all codebooks for each vector, by the `paths` best sums of entries after each codebook.

    After as many codebooks as `ends` says, all paths but the best one are given up.
    """
    first = torch.arange(len(vectors), device=vectors.device)[:, None]
    residuals, codes = vectors[:, None], torch.zeros(len(vectors), 1, 0, dtype=torch.long, device=vectors.device)
    lost = torch.zeros(len(vectors), 1, device=vectors.device)
    for q, codebook in enumerate(codebooks):
        scores = 0.5 * codebook.square().sum(-1) - residuals @ codebook.T + lost[..., None]
        lost, place = scores.flatten(1).topk(min(paths, scores[0].numel()), largest=False)
        parent, entry = place // len(codebook), place % len(codebook)
        residuals = residuals[first, parent] - codebook[entry]
        codes = torch.cat([codes[first, parent], entry[..., None]], dim=-1)
        given_up = (ends == q + 1)[:, None] & (torch.arange(lost.shape[1], device=lost.device) > 0)
        lost = (lost - lost[:, :1]).masked_fill(given_up, math.inf)
    return codes[first[:, 0], lost.argmin(-1)]


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
