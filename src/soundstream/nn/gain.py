"""The loudness of a segment as a number beside its codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundstream.nn.graph import Graph

LEAST = 1e-8
"""Gain of silence."""


class Gain(nn.Module):
    """Root mean square of all channels' mean, and a little: `[batch, channels, 1, samples]` to `[batch, 1, 1, 1]`.

    The encoder sees sound divided by it, and the decoder's is multiplied by it.

    Source: EnCodec (Défossez et al., 2022), section 3.1, whose 48 kHz model is normalized so.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True).square().mean((2, 3), keepdim=True).sqrt() + LEAST

    def divided_onnx(self, graph: Graph, x: str) -> str:
        """`x` divided by its gain, which is an output of the graph, `side`."""
        channels, everything = (graph.constant(f"side.{key}", axes) for key, axes in (("mono", [1]), ("all", [2, 3])))
        mono = graph.node("ReduceMean", [x, channels], "side.mixed")
        square = graph.node("Mul", [mono, mono], "side.square")
        root = graph.node("Sqrt", [graph.node("ReduceMean", [square, everything], "side.power")], "side.root")
        gain = graph.node("Add", [root, graph.constant("side.least", torch.tensor(LEAST))], graph.side("side", 1))
        return graph.node("Div", [x, gain], "side.divided")

    def multiplied_onnx(self, graph: Graph, x: str) -> str:
        """`x` multiplied by a gain, which is an input of the graph, `side`."""
        graph.input("side", 1, 1)
        return graph.node("Mul", [x, "side"], "side.multiplied")
