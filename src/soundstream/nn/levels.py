"""Levels of bands that have a code of their own, in networks that work on the coefficients of a transform.

    encoder            levels of the sound ──┐
            latents ── quantizer ── codes    │
                           └─ quantized ── level network ── gains that the decoded sound lacks ── level codebook ── code
    decoder coefficients * gains, which are the decayed sum of the entries so far

A decoder that is trained to sound like a voice misses the levels of bands by 3 dB, at every bit rate: with the levels
of the original, decoded speech is a class better, and 10 bits a frame say most of it. A small network finds from
latents, codes and the original's levels by how much the decoder will miss them, without decoding. It is fitted when all
else is trained (`train.levels_fit`), and changes nothing of that.

A gain is the sum of the entries so far, each counting MEMORY times less with each frame: one entry says what is new.
The encoder looks for the entry that brings this sum nearest to what it wants.

Source: ours. Related: gain-shape quantization; coarse and fine energy of bands in CELT (RFC 6716, section 4.3.2), which
predicts levels from the frame before, too.
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from soundstream.analysis.band_levels import UNIT_DB
from soundstream.nn.graph import Graph
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.convnext import blocks
from soundstream.nn.layers.mdct import ENERGY_FLOOR, LEVEL_GAIN, fix
from soundstream.nn.streaming import Chain, State, StreamingModule, without_autocast

MEMORY = 0.7
"""What is left of an entry a frame later."""
TAPS = 16
"""Frames after which an entry is forgotten: 0.3 % of it are left."""
MAX_GAIN_DB = 15.0
"""Most that codes can raise or lower a band, whatever they are."""
WIDTH, BLOCKS, FIRST_KERNEL, KERNEL = 192, 3, 3, 5
"""Of the level network: channels, ConvNeXt blocks, and frames that its layers see."""
NEPERS = UNIT_DB * math.log(10) / 20
"""Logarithm of the factor that is one unit of a gain."""
MAX_NEPERS = NEPERS * MAX_GAIN_DB / UNIT_DB


class BandLevels(StreamingModule):
    """Coefficients `[batch, coefficients, 1, frames]` to logarithms of mean energies `[batch, bands, 1, frames]`."""

    def __init__(self, edges: list[int]) -> None:
        super().__init__()
        self.bands: Tensor
        self.register_buffer("bands", (_members(edges) / _members(edges).sum(1, keepdim=True))[..., None, None], False)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        with without_autocast(x):
            energies = nn.functional.conv2d(x.to(self.bands.dtype).square(), self.bands)
            return LEVEL_GAIN * (energies + ENERGY_FLOOR).log(), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        power = graph.node("Mul", [x, x], f"{name}.power")
        bands = graph.node("Conv", [power, graph.constant(f"{name}.bands", self.bands)], f"{name}.energies")
        floor, gain = (
            graph.constant(f"{name}.{key}", torch.tensor(value))
            for key, value in (("floor", ENERGY_FLOOR), ("gain", LEVEL_GAIN))
        )
        logarithms = graph.node("Log", [graph.node("Add", [bands, floor], f"{name}.floored")], f"{name}.log")
        return graph.node("Mul", [logarithms, gain], name)


class LevelGain(CausalConv):
    """Entries of levels `[batch, bands, 1, frames]` to factors of coefficients `[batch, coefficients, 1, frames]`."""

    def __init__(self, edges: list[int]) -> None:
        bands = len(edges) - 1
        super().__init__(bands, bands, TAPS, groups=bands)
        fix(self, (NEPERS * MEMORY ** torch.arange(TAPS - 1, -1, -1)).expand(bands, 1, 1, TAPS).clone())
        self.bands_of: Tensor
        self.register_buffer("bands_of", _members(edges).argmax(0), persistent=False)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        with without_autocast(x):
            gains, state = super().step(x.to(self.weight.dtype), state)
            return gains.clamp(-MAX_NEPERS, MAX_NEPERS).exp()[:, self.bands_of], state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        gains = graph.channels_last(super().onnx(graph, name, x), f"{name}.last")
        ends = [graph.constant(f"{name}.{sign}", torch.tensor(sign * MAX_NEPERS)) for sign in (-1, 1)]
        factors = graph.node("Exp", [graph.node("Clip", [gains, *ends], f"{name}.bounded")], f"{name}.factors")
        places = graph.constant(f"{name}.bands_of", self.bands_of.tolist())
        return graph.channels_first(graph.node("Gather", [factors, places], f"{name}.spread", axis=3), f"{name}.first")


class LevelStage(nn.Module):
    """The level network, and the codebook of what it finds; a fresh one finds nothing to mend."""

    def __init__(self, latent_dim: int, bands: int, codebook_size: int) -> None:
        super().__init__()
        self.bands = bands
        self.network = Chain(
            first=CausalConv(2 * latent_dim + bands, WIDTH, FIRST_KERNEL),
            **blocks(BLOCKS, WIDTH, KERNEL),
            out=CausalConv(WIDTH, bands, kernel=1, scale=0.0),
        )
        self.codebook: Tensor
        self.register_buffer("codebook", torch.zeros(codebook_size, bands))

    def gains(
        self,
        latents: Float[Tensor, "batch latent_dim frames"],
        levels: Float[Tensor, "batch bands frames"],
        quantized: Float[Tensor, "batch latent_dim frames"],
    ) -> Float[Tensor, "batch bands frames"]:
        """By how much the sound that the quantized latents decode to is too low in each band, in units of UNIT_DB."""
        return self.network(torch.cat([latents, levels, quantized], dim=1).unsqueeze(2)).squeeze(2)

    @torch.no_grad()
    def encode(self, gains: Float[Tensor, "batch bands frames"]) -> Int[Tensor, "batch frames"]:
        """Codes whose decayed sum follows the gains."""
        codes = torch.zeros(len(gains), gains.shape[2], dtype=torch.long, device=gains.device)
        total, half_norms = torch.zeros_like(gains[..., 0]), 0.5 * self.codebook.square().sum(1)
        for frame, wanted in enumerate(gains.unbind(2)):
            total = MEMORY * total
            codes[:, frame] = found = (half_norms - (wanted - total) @ self.codebook.T).argmin(1)
            total = total + self.codebook[found]
        return codes

    def entries(self, codes: Int[Tensor, "batch frames"]) -> Float[Tensor, "batch bands frames"]:
        """What the codes stand for: what the decoder takes behind its latents."""
        return self.codebook[codes].transpose(1, 2)

    def onnx(self, graph: Graph, latent_dim: int) -> str:
        """The network in a graph, of its inputs `latents`, the levels behind them, and `quantized`."""
        graph.input("latents", latent_dim + self.bands, "frames")
        graph.input("quantized", latent_dim, "frames")
        return self.network.onnx(graph, "", graph.node("Concat", ["latents", "quantized"], "seen", axis=1))


def _members(edges: list[int]) -> Float[Tensor, "bands coefficients"]:
    """1 where a coefficient is in a band."""
    members = torch.zeros(len(edges) - 1, edges[-1])
    for band, (start, end) in enumerate(itertools.pairwise(edges)):
        members[band, start:end] = 1
    return members
