"""Layers that keep the variance of a signal through many residual units.

    unit j of a level: x + a * w * branch(x / sqrt(1 + j a^2)),  a = 1 / sqrt(3),  w learned from 0

A branch keeps variance: a signal of unit variance has 1 + j a^2 behind j units whose w are 1, and every branch sees
unit variance. A fresh unit is the identity.

Source: HILCodec (Ahn et al., 2024), section III-B.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from soundstream.nn.graph import Graph
from soundstream.nn.streaming import Chain, State, StreamingModule

ADDED = 1 / 3
"""Variance that a unit adds (a^2)."""


class Scale(StreamingModule):
    """`[batch, channels, 1, time]` times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x * self.factor, state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return graph.node("Mul", [x, graph.constant(f"{name}.factor", torch.tensor(self.factor))], name)


class LearnedScale(StreamingModule):
    """`[batch, channels, 1, time]` times a number, and times one that learns, from 0 on."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.weight = nn.Parameter(torch.zeros(1))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x * (self.weight * self.factor), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return graph.node("Mul", [x, graph.constant(f"{name}.weight", self.weight * self.factor)], name)


class Residual(Chain):
    """x + layers(x)."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = super().step(x, state)
        return x + y, state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return graph.node("Add", [x, super().onnx(graph, name, x)], f"{name}.sum")


class FrameNorm(StreamingModule):
    """Each frame of `[batch, channels, 1, time]` as long as the root of the channels, so that its mean square is 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.length = math.sqrt(channels)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return functional.normalize(x, dim=1) * self.length, state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        length = graph.node("ReduceL2", [x, graph.constant(f"{name}.axes", [1])], f"{name}.norm", keepdims=1)
        least = graph.constant(f"{name}.least", torch.tensor(1e-12))
        unit = graph.node("Div", [x, graph.node("Max", [length, least], f"{name}.floored")], f"{name}.unit")
        return graph.node("Mul", [unit, graph.constant(f"{name}.length", torch.tensor(self.length))], name)


def after(units: int) -> Scale:
    """What makes unit variance again of a signal to which so many units have added."""
    return Scale((1 + units * ADDED) ** -0.5)
