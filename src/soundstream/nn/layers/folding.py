"""Moves what a layer multiplies each channel with into the convolutions around it, for graphs of fewer passes.

    x -> Snake -> conv                   x -> times alpha -> y + sin(y)^2 -> conv / alpha
    conv -> Snake -> conv      becomes           conv * alpha -> y + sin(y)^2 -> conv / alpha

A pass over a signal costs ONNX Runtime as much as a convolution of some channels, and a product with a number a channel
is one. What is folded gives the same signal but for rounding, and zeros for zeros, so that padding means the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundstream.nn.graph import Graph
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.padded import PaddedUpsample
from soundstream.nn.layers.snake import LEAST, Snake
from soundstream.nn.streaming import Chain, State, StreamingModule


class FoldedSnake(StreamingModule):
    """y + sin(y)^2 of y = alpha x, or of x as it comes: alpha times a Snake of `[batch, channels, 1, time]`.

    Args:
        alpha: `[channels]`; None stands in the layer before.
    """

    def __init__(self, alpha: Tensor | None) -> None:
        super().__init__()
        self.alpha: Tensor | None
        self.register_buffer("alpha", None if alpha is None else alpha[:, None, None])

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        angle = x if self.alpha is None else self.alpha * x
        return angle + angle.sin().square(), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        if self.alpha is not None:
            x = graph.node("Mul", [x, graph.constant(f"{name}.alpha", self.alpha)], f"{name}.angle")
        sine = graph.node("Sin", [x], f"{name}.sine")
        return graph.node("Add", [x, graph.node("Mul", [sine, sine], f"{name}.square")], name)


@torch.no_grad()
def fold_snakes(model: nn.Module) -> None:
    """Fold, in place, all Snakes of a model that have a convolution behind them."""
    for chain in [part for part in model.modules() if isinstance(part, Chain)]:
        layers: list[StreamingModule | None] = [None, *(layer for _, layer in chain.layers()), None]
        for (name, snake), before, behind in zip(chain.layers(), layers, layers[2:], strict=False):
            convolution = behind.conv if isinstance(behind, PaddedUpsample) else behind
            if isinstance(snake, Snake) and isinstance(convolution, CausalConv):
                setattr(chain, name, _folded(snake, before, convolution))


def _folded(snake: Snake, before: StreamingModule | None, behind: CausalConv) -> FoldedSnake:
    """The Snake, with what it multiplies moved into its neighbours."""
    alpha = torch.where(snake.alpha.abs() < LEAST, LEAST, snake.alpha)  # of which 0 could not be divided by
    if behind.groups > 1:
        behind.weight.div_(alpha[:, None, None, None])
    else:
        behind.weight.div_(alpha[:, None, None])
    if not isinstance(before, CausalConv):
        return FoldedSnake(alpha)
    before.weight.mul_(alpha[:, None, None, None])
    before.bias.mul_(alpha)
    return FoldedSnake(None)
