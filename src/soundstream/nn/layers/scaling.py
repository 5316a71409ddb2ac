"""Scales of channels: FiLM, the switch inside the codec, and the loudness of a segment as a number beside its codes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from soundstream.nn.graph import Graph

MIN_GAIN = 1e-8
"""Gain of silence."""


class FiLM(nn.Module):
    """Feature-wise linear modulation: gamma * latents + beta, both linear in the condition.

    It starts as the identity. The condition may change from frame to frame.

    Source: SoundStream (Zeghidour et al., 2021), section III-F, at the encoder's bottleneck.
    """

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, condition_dim))
        self.beta = nn.Parameter(torch.zeros(channels, condition_dim))

    def forward(
        self,
        x: Float[Tensor, "batch channels 1 frames"],
        condition: Float[Tensor, "batch condition 1 frames"],
    ) -> Float[Tensor, "batch channels 1 frames"]:
        gamma = functional.conv2d(condition, self.gamma[..., None, None])
        beta = functional.conv2d(condition, self.beta[..., None, None])
        return gamma * x + beta

    def onnx(self, graph: Graph, name: str, x: str, condition: str) -> str:
        """The same in a graph, with channels last if `x` has them so; `condition` is the name of a tensor."""
        for part, weight in ((f"{name}.gamma", self.gamma), (f"{name}.beta", self.beta)):
            graph.node("Conv", [condition, graph.constant(f"{part}.weight", weight[..., None, None])], part)
        if x not in graph.turned:
            scaled = graph.node("Mul", [x, f"{name}.gamma"], f"{name}.scaled")
            return graph.node("Add", [scaled, f"{name}.beta"], name)
        x = graph.channels_last(x, f"{name}.in")
        gamma, beta = (graph.channels_last(part, f"{part}.last") for part in (f"{name}.gamma", f"{name}.beta"))
        y = graph.node("Add", [graph.node("Mul", [x, gamma], f"{name}.scaled"), beta], f"{name}.sum")
        return graph.channels_first(y, name)


class Gain(nn.Module):
    """Root mean square of all channels' mean, and a little: `[batch, channels, 1, samples]` to `[batch, 1, 1, 1]`.

    The encoder sees sound divided by it, and the decoder's is multiplied by it.

    Source: EnCodec (Défossez et al., 2022), section 3.1, whose 48 kHz model is normalized so.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True).square().mean((2, 3), keepdim=True).sqrt() + MIN_GAIN

    def divided_onnx(self, graph: Graph, x: str) -> str:
        """`x` divided by its gain, which is an output of the graph, `side`."""
        channels, everything = (graph.constant(f"side.{key}", axes) for key, axes in (("mono", [1]), ("all", [2, 3])))
        mono = graph.node("ReduceMean", [x, channels], "side.mixed")
        square = graph.node("Mul", [mono, mono], "side.square")
        root = graph.node("Sqrt", [graph.node("ReduceMean", [square, everything], "side.power")], "side.root")
        gain = graph.node("Add", [root, graph.constant("side.least", torch.tensor(MIN_GAIN))], graph.side("side", 1))
        return graph.node("Div", [x, gain], "side.divided")

    def multiplied_onnx(self, graph: Graph, x: str) -> str:
        """`x` multiplied by a gain, which is an input of the graph, `side`."""
        graph.input("side", 1, 1)
        return graph.node("Mul", [x, "side"], "side.multiplied")
