"""The MDCT as layers, and what a network sees of its coefficients.

    windows      frame t-1        frame t         frame t+1
                /‾‾‾‾‾‾‾‾‾‾‾X‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾X‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾X      X: overlap of L samples

Source: the window is a low-overlap one, as in CELT (RFC 6716, section 4.3.7).
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from soundstream.nn.graph import Graph
from soundstream.nn.layers.conv import CausalConv, CausalUpsample
from soundstream.nn.streaming import State, StreamingModule, without_autocast

ENCODER_GAIN = 3.0
"""Fresh gain from the root of a coefficient to its channel: the blocks see values of about 1."""
LEVEL_GAIN = 0.35
"""Fresh gain from the level of a band, the logarithm of its energy, to its channel."""
ENERGY_FLOOR = 2.0**-24
"""Mean energy of a coefficient under which a band is taken to be silent."""


def mdct_basis(hop_length: int, overlap: int) -> Float[Tensor, "coefficients support"]:
    """Windowed cosines of the MDCT over the samples where its window is not zero: `[hop_length, hop_length + overlap]`.

    Rows are orthonormal, and so are those of neighbouring frames: analysis and synthesis have the same basis.
    """
    support = hop_length + overlap
    n = torch.arange(support, dtype=torch.float64)
    slope = torch.sin(math.pi / 2 * (torch.arange(overlap, dtype=torch.float64) + 0.5) / overlap)
    window = torch.cat([slope, torch.ones(hop_length - overlap, dtype=torch.float64), slope.flip(0)])
    k = torch.arange(hop_length, dtype=torch.float64)[:, None]
    phase = n + (hop_length - overlap) // 2 + 0.5 + hop_length / 2
    cosines = torch.cos(math.pi / hop_length * phase * (k + 0.5))
    return (math.sqrt(2 / hop_length) * window * cosines).float()


class Mdct(CausalConv):
    """`[batch, 1, 1, samples]` to coefficients `[batch, hop_length, 1, frames]`; its state is the overlap."""

    def __init__(self, hop_length: int, overlap: int) -> None:
        super().__init__(1, hop_length, kernel=hop_length + overlap, stride=hop_length)
        fix(self, mdct_basis(hop_length, overlap)[:, None, None])

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        with without_autocast(x):
            return super().step(x.to(self.weight.dtype), state)


class InverseMdct(CausalUpsample):
    """Overlap-add: `[batch, hop_length, 1, frames]` to samples `[batch, 1, 1, samples]`, `overlap` of them late."""

    def __init__(self, hop_length: int, overlap: int) -> None:
        super().__init__(hop_length, 1, hop_length)
        basis = mdct_basis(hop_length, overlap).T
        before = functional.pad(basis[hop_length:], (0, 0, 0, hop_length - overlap))
        fix(self.conv, torch.stack([before, basis[:hop_length]], dim=-1)[:, :, None])

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        with without_autocast(x):
            return super().step(x.to(self.conv.weight.dtype), state)


def fix(conv: CausalConv, weight: Tensor) -> None:
    """Replace learned weights by given ones, which no checkpoint needs to hold."""
    del conv.weight, conv.bias
    conv.int8 = False
    conv.register_buffer("weight", weight, persistent=False)
    conv.register_buffer("bias", torch.zeros(len(weight)), persistent=False)


def band_edges(coefficients: int, passed: int, bands: int) -> list[int]:
    """First coefficients of `bands` bands above the `passed` lowest ones, and their end: wider and wider upwards."""
    ratio = (coefficients / passed) ** (1 / bands)
    return [max(passed + i, round(passed * ratio**i)) for i in range(bands)] + [coefficients]


class Features(StreamingModule):
    """What the encoder's blocks see of the coefficients: levels of the upper bands, then signed square roots of all.

    `[batch, coefficients, 1, frames]` becomes `[batch, bands + coefficients, 1, frames]`. A level is the logarithm of a
    band's mean energy. Square roots halve the dynamic range in dB.
    """

    def __init__(self, edges: list[int]) -> None:
        super().__init__()
        bands = torch.zeros(len(edges) - 1, edges[-1])
        for band, (start, end) in zip(bands, itertools.pairwise(edges), strict=True):
            band[start:end] = 1 / (end - start)
        self.bands: Tensor
        self.register_buffer("bands", bands[..., None, None], persistent=False)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        with without_autocast(x):
            x = x.to(self.bands.dtype)
            levels = (functional.conv2d(x.square(), self.bands) + ENERGY_FLOOR).log()
            return torch.cat([levels, x.sign() * x.abs().sqrt()], dim=1), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        power = graph.node("Mul", [x, x], f"{name}.power")
        bands = graph.node("Conv", [power, graph.constant(f"{name}.bands", self.bands)], f"{name}.energies")
        floor = graph.constant(f"{name}.floor", torch.tensor(ENERGY_FLOOR))
        levels = graph.node("Log", [graph.node("Add", [bands, floor], f"{name}.floored")], f"{name}.levels")
        sign, magnitude = graph.node("Sign", [x], f"{name}.sign"), graph.node("Abs", [x], f"{name}.magnitude")
        roots = graph.node("Mul", [sign, graph.node("Sqrt", [magnitude], f"{name}.root")], f"{name}.roots")
        return graph.node("Concat", [levels, roots], name, axis=1)
