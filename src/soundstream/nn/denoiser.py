"""The denoiser of the spectral family: a network that says how much of each MDCT coefficient is sound and not noise.

    features -> magnitudes beside them -> linear -> ConvNeXt blocks -> linear -> sigmoid: the mask

FiLM alone, behind the encoder's blocks, can only choose among channels that the blocks keep apart. Here the mask
follows from the sound, and the condition says how far it counts: with the denoise switch off the codec computes what
it would without. Levels and roots come from the masked coefficients, so that the encoder is never shown what no sound
has: where a denoiser could change features at will, the decoder of `base` burst on what the switch had made of tones.

Source: ours. Related: RNNoise (Valin, 2018), gains of bands that a network finds, where these are of coefficients.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.nn.graph import LAST, Graph
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.convnext import blocks
from soundstream.nn.layers.mdct import ENCODER_GAIN, LEVEL_GAIN
from soundstream.nn.streaming import Chain, State, StreamingModule

OPEN = 4.0
"""Fresh bias before the sigmoid: a fresh mask takes 0.16 dB."""


class Magnitudes(StreamingModule):
    """Features `[batch, bands + coefficients, 1, frames]` with the magnitudes of the coefficients behind them."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = bands

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.cat([x, x[:, self.bands :].abs()], dim=1), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        roots = graph.slice(x, f"{name}.roots", start=self.bands, end=LAST, axis=1)
        return graph.node("Concat", [x, graph.node("Abs", [roots], f"{name}.abs")], name, axis=1)


class Sigmoid(StreamingModule):
    """Any numbers to 0 to 1."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x.sigmoid(), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return graph.node("Sigmoid", [x], name)


def denoiser(bands: int, coefficients: int, count: int, width: int, kernel: int) -> Chain:
    """Features `[batch, bands + coefficients, 1, frames]` to a mask `[batch, coefficients, 1, frames]`, 0 to 1.

    Args:
        count, width, kernel: ConvNeXt blocks, their channels, and the frames that each sees.
    """
    first = CausalConv(bands + 2 * coefficients, width, kernel=1)
    first.weight.data[:, :bands] *= LEVEL_GAIN
    first.weight.data[:, bands:] *= 2 * ENCODER_GAIN
    first.int8 = False
    out = CausalConv(width, coefficients, kernel=1, scale=0.0)
    out.bias.data.fill_(OPEN)
    return Chain(
        magnitudes=Magnitudes(bands),
        first=first,
        **blocks(count, width, kernel),
        out=out,
        mask=Sigmoid(),
    )


def masked(
    coefficients: Float[Tensor, "batch coefficients 1 frames"],
    mask: Float[Tensor, "batch coefficients 1 frames"],
    strength: Float[Tensor, "batch 1 1 frames"],
) -> Float[Tensor, "batch coefficients 1 frames"]:
    """Coefficients of the sound without its noise, `strength` of the way there."""
    return coefficients * (1 + strength * (mask - 1))


def masked_onnx(graph: Graph, x: str, mask: str, condition: str) -> str:
    """`masked` in a graph, the strength being the second value of the condition."""
    strength = graph.slice(condition, "strength", start=1, end=2, axis=1)
    one = graph.constant("one", torch.tensor(1.0))
    taken = graph.node("Mul", [graph.node("Sub", [mask, one], "mask.taken"), strength], "mask.counted")
    return graph.node("Mul", [x, graph.node("Add", [taken, one], "mask.gain")], "masked")
