"""Noise that a decoder makes, the same wherever it runs: from a table, or from the latents that it decodes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from soundstream.nn.graph import LAST, Graph
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.mdct import ENERGY_FLOOR, fix
from soundstream.nn.streaming import State, StreamingModule, without_autocast

SUMMED = 16
"""Bytes that a number of the table is the sum of: their distribution is normal but for tails beyond 4.5 deviations."""

CHAOS = 20.0
"""Gain from latents to the phases that noise comes from."""
NOISE_FRAMES = 4
"""Frames of latents that a frame of noise comes from."""
TINY = 1e-12
"""Added to noise, so that none at all has a sign too."""
STEADY_DB = 2.0
"""By which the level of noise changes at most from one frame to the next, nearly always."""
LOG_DB = 10 / math.log(10)


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


class RandomSigns(StreamingModule):
    """Factors of coefficients: 1 below `start`; from there on 1 or -1 by chance, one for all of a frame.

    What a decoder has learned to put in the place of noise repeats after a few frames, and is heard as lines. A sign
    that changes from frame to frame takes these lines away, and leaves levels, and what is short within a frame. Where
    what is above `start` grows or fades by more than STEADY_DB there is no noise but a click: it keeps its sign.

    `[batch, latent_dim + coefficients, 1, frames]`, latents before the coefficients, become factors of the latter.

    Source: ours. Related: random signs of the coefficients of noise (Perceptual Noise Substitution of MPEG-4 AAC).
    """

    def __init__(self, latent_dim: int, coefficients: int, start: int) -> None:
        super().__init__()
        self.latent_dim, self.chance = latent_dim, LatentNoise(latent_dim, 1, frames=1)
        self.signed: Tensor
        signed = (torch.arange(coefficients) >= start).float()
        self.register_buffer("signed", signed[None, :, None, None], persistent=False)

    def init_state(self, batch: int) -> State:
        return {"left": self.signed.new_zeros(batch, 1, 1, 1)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        with without_autocast(x):
            x = x.detach().to(self.signed.dtype)
            negative = 1 - (self.chance(x[:, : self.latent_dim]) + TINY).sign()
            levels = self._levels(x[:, self.latent_dim :])
            before = torch.cat([state["left"], levels[..., :-1]], dim=-1)
            steady = 1 + (STEADY_DB - (levels - before).abs()).sign()
            return 1 - 0.5 * negative * steady * self.signed, {"left": levels[..., -1:]}

    def _levels(self, coefficients: Tensor) -> Tensor:
        """dB of what is above `start`, `[batch, 1, 1, frames]`."""
        return LOG_DB * (functional.conv2d(coefficients.square(), self.signed) + ENERGY_FLOOR).log()

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        both = graph.channels_last(x, f"{name}.last")
        sign = self._chance_onnx(graph, name, graph.channels(both, f"{name}.latents", 0, self.latent_dim))
        rest = self._rest_onnx(graph, name, graph.channels(both, f"{name}.coefficients", self.latent_dim, LAST))
        one = graph.constant(f"{name}.one", torch.tensor(1.0))
        negative = graph.node("Sub", [one, sign], f"{name}.negative")
        steady = graph.node("Add", [one, graph.node("Sign", [rest], f"{name}.rests")], f"{name}.steadily")
        changed = graph.channels_last(graph.node("Mul", [negative, steady], f"{name}.both"), f"{name}.both.last")
        signed = graph.constant(f"{name}.signed", -0.5 * self.signed.flatten())
        factors = graph.node("Add", [graph.node("Mul", [changed, signed], f"{name}.signs"), one], f"{name}.factors")
        return graph.channels_first(factors, f"{name}.factors.first")

    def _chance_onnx(self, graph: Graph, name: str, latents: str) -> str:
        """1 or -1 by chance."""
        chance = self.chance.onnx(graph, f"{name}.chance", latents)
        above = graph.node("Add", [chance, graph.constant(f"{name}.tiny", torch.tensor(TINY))], f"{name}.above")
        return graph.node("Sign", [above], f"{name}.sign")

    def _rest_onnx(self, graph: Graph, name: str, coefficients: str) -> str:
        """By how many dB the level changes less than STEADY_DB."""
        levels = self._levels_onnx(graph, name, coefficients)
        joined = graph.join_left(f"{name}.left", 1, 1, levels)
        before = graph.slice(joined, f"{name}.before", start=0, end=-1, axis=3)
        change = graph.node("Abs", [graph.node("Sub", [levels, before], f"{name}.change")], f"{name}.changed")
        most = graph.constant(f"{name}.steady", torch.tensor(STEADY_DB))
        return graph.node("Sub", [most, change], f"{name}.rest")

    def _levels_onnx(self, graph: Graph, name: str, coefficients: str) -> str:
        power = graph.node("Mul", [coefficients, coefficients], f"{name}.power")
        energy = graph.node("Conv", [power, graph.constant(f"{name}.sum", self.signed)], f"{name}.energy")
        floor, db = (
            graph.constant(f"{name}.{key}", torch.tensor(v)) for key, v in (("floor", ENERGY_FLOOR), ("db", LOG_DB))
        )
        logarithm = graph.node("Log", [graph.node("Add", [energy, floor], f"{name}.floored")], f"{name}.log")
        return graph.node("Mul", [logarithm, db], f"{name}.levels")


def noise_table(length: int, seed: int) -> Tensor:
    """Nearly normal numbers `[length]` of unit variance and no mean, the same on any machine: sums of bytes.

    The generator is one whose bytes NumPy keeps for good.
    """
    drawn = np.frombuffer(np.random.RandomState(seed).bytes(SUMMED * length), np.uint8)
    sums = drawn.reshape(length, SUMMED).sum(axis=1, dtype=np.int64)
    deviation = math.sqrt(SUMMED * (256**2 - 1) / 12)
    return torch.from_numpy(((sums - SUMMED * 127.5) / deviation).astype(np.float32))
