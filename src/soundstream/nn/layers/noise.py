"""Noise that a decoder makes, the same wherever it runs: from a table, or from the latents that it decodes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from soundstream.nn.graph import Graph
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.mdct import fix
from soundstream.nn.streaming import State, StreamingModule

SUMMED = 16
"""Bytes that a number of the table is the sum of: their distribution is normal but for tails beyond 4.5 deviations."""

CHAOS = 20.0
"""Gain from latents to the phases that noise comes from."""
NOISE_FRAMES = 4
"""Frames of latents that a frame of noise comes from."""
TINY = 1e-12
"""Added to noise, so that none at all has a sign too."""


class Noise(StreamingModule):
    """x + n * (W x) of `[batch, channels, 1, time]`: one noise of unit variance, in each channel as loud as W x says.

    Training draws it afresh. In evaluation it is a table that is read over and over from the first sample on. So it is
    the same in any pieces that begin on multiples of its length, on any machine.

    Args:
        length: samples of the table.
        seed: its number; tables of other numbers have nothing in common.

    Source: SNAC (Siuzdak et al., 2024), section 3. Differs: there it is drawn afresh whenever a signal is decoded.
    """

    def __init__(self, channels: int, length: int, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, channels, 1, 1))
        nn.init.normal_(self.weight, std=0.1 / math.sqrt(channels))
        self.table: Tensor
        self.register_buffer("table", noise_table(length, seed), persistent=False)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x + self._drawn(x) * functional.conv2d(x, self.weight), state

    def _drawn(self, x: Tensor) -> Tensor:
        """Noise for each signal `[batch or 1, 1, 1, time]`."""
        if self.training:
            return torch.randn_like(x[:, :1])
        place = torch.arange(x.shape[-1], device=x.device) % len(self.table)
        return self.table[place].to(x.dtype)[None, None, None]

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        noise = self._drawn_onnx(graph, name, x)
        loudness = graph.node("Conv", [x, graph.weight(f"{name}.weight", self.weight)], f"{name}.loudness")
        return graph.node("Add", [x, graph.node("Mul", [noise, loudness], f"{name}.noise")], name)

    def _drawn_onnx(self, graph: Graph, name: str, x: str) -> str:
        """Noise `[time]`."""
        axis = graph.constant(f"{name}.axis", [0])
        time = graph.node("Squeeze", [graph.node("Shape", [x], f"{name}.shape", start=3), axis], f"{name}.time")
        ends = (graph.node("Squeeze", [graph.constant(f"{name}.{i}", [i]), axis], f"{name}.end{i}") for i in (0, 1))
        count = graph.node("Range", [next(ends), time, next(ends)], f"{name}.count")
        place = graph.node("Mod", [count, graph.constant(f"{name}.length", [len(self.table)])], f"{name}.place")
        return graph.node("Gather", [graph.constant(f"{name}.table", self.table), place], f"{name}.drawn")


class LatentNoise(CausalConv):
    """Noise in [-1, 1] from latents: `[batch, latent_dim, 1, frames]` to `[batch, coefficients, 1, frames]`.

    It is the sine of far-spread phases, a fixed random mixture of the latents: it differs from coefficient to
    coefficient and from frame to frame, and yet streams, chunks, seeking and machines agree on it.

    Args:
        frames: of latents that a frame of noise comes from.
    """

    def __init__(self, latent_dim: int, coefficients: int, frames: int = NOISE_FRAMES) -> None:
        super().__init__(latent_dim, coefficients, frames)
        generator = torch.Generator().manual_seed(0)
        phases = torch.randn(coefficients, latent_dim, 1, frames, generator=generator)
        fix(self, (CHAOS / math.sqrt(latent_dim * frames) * phases).half().float())

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        phases, state = super().step(x.detach(), state)
        return phases.sin(), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return graph.node("Sin", [super().onnx(graph, name, x)], f"{name}.sine")


class RandomSigns(LatentNoise):
    """Factors of coefficients, from latents: 1 below `start`; from there on 1 or -1 by chance, one for all of a frame.

    What a decoder has learned to put in the place of noise repeats after a few frames, and is heard as lines. A sign
    that changes from frame to frame takes these lines away, and leaves levels, and what is short within a frame.

    Source: ours. Related: random signs of the coefficients of noise (Perceptual Noise Substitution of MPEG-4 AAC).
    """

    def __init__(self, latent_dim: int, coefficients: int, start: int) -> None:
        super().__init__(latent_dim, 1, frames=1)
        self.signed: Tensor
        self.register_buffer("signed", torch.arange(coefficients)[:, None, None] >= start, persistent=False)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        noise, state = super().step(x, state)
        return torch.where(self.signed, (noise + TINY).sign(), 1.0), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        noise = graph.channels_last(super().onnx(graph, name, x), f"{name}.last")
        above = graph.node("Add", [noise, graph.constant(f"{name}.tiny", torch.tensor(TINY))], f"{name}.above")
        signed = self.signed.flatten().float()
        high, low = (graph.constant(f"{name}.{key}", part) for key, part in (("high", signed), ("low", 1 - signed)))
        signs = graph.node("Mul", [graph.node("Sign", [above], f"{name}.sign"), high], f"{name}.signs")
        return graph.channels_first(graph.node("Add", [signs, low], f"{name}.factors"), f"{name}.first")


def noise_table(length: int, seed: int) -> Tensor:
    """Nearly normal numbers `[length]` of unit variance and no mean, the same on any machine: sums of bytes.

    The generator is one whose bytes NumPy keeps for good.
    """
    drawn = np.frombuffer(np.random.RandomState(seed).bytes(SUMMED * length), np.uint8)
    sums = drawn.reshape(length, SUMMED).sum(axis=1, dtype=np.int64)
    deviation = math.sqrt(SUMMED * (256**2 - 1) / 12)
    return torch.from_numpy(((sums - SUMMED * 127.5) / deviation).astype(np.float32))
