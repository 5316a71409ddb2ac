"""Snake, the periodic activation of DAC and SNAC."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundstream.nn.graph import Graph
from soundstream.nn.streaming import State, StreamingModule

LEAST = 1e-9
"""Added to alpha where it divides."""


class Snake(StreamingModule):
    """x + sin(alpha x)^2 / alpha, with an alpha for each channel, of `[batch, channels, 1, time]`.

    Alphas learn; they start at 1.

    Source: Ziyin et al., 2020; in audio DAC (Kumar et al., 2023), section 3.1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        alpha = self.alpha[:, None, None]
        return x + (alpha * x).sin().square() * (alpha + LEAST).reciprocal(), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        alpha = self.alpha[:, None, None]
        angle = graph.node("Mul", [x, graph.constant(f"{name}.alpha", alpha)], f"{name}.angle")
        sine = graph.node("Sin", [angle], f"{name}.sine")
        square = graph.node("Mul", [sine, sine], f"{name}.square")
        size = graph.constant(f"{name}.size", (alpha + LEAST).reciprocal())
        return graph.node("Add", [x, graph.node("Mul", [square, size], f"{name}.wave")], name)
