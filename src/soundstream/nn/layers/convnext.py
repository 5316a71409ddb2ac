"""ConvNeXt blocks at the frame rate: what the spectral family is made of, and the trunks of SEANet."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from soundstream.nn.graph import Graph
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.streaming import State, StreamingModule

EXPANSION = 4
"""Inner width of a block over its width, where nothing else is said."""
NORM_FLOOR = 1e-5
"""Added to the variance by which a block divides, likewise."""
RESIDUAL_SCALE = 0.05
"""Weight of a fresh residual branch."""


class ConvNeXtBlock(StreamingModule):
    """x + shrink(gelu(expand(norm(depthwise(x))))): context from a causal depthwise convolution, mixing frame by frame.

    Source: ConvNeXt (Liu et al., 2022), in one dimension and causal. Differs: no layer scale; the branch starts small,
    at `scale`, which may be zero.

    Args:
        inner: channels between expand and shrink; 0 is EXPANSION times the others.
        floor: added to the variance before the norm divides.
    """

    def __init__(
        self, channels: int, kernel: int, scale: float = RESIDUAL_SCALE, inner: int = 0, floor: float = NORM_FLOOR
    ) -> None:
        super().__init__()
        inner = inner or EXPANSION * channels
        self.depthwise = CausalConv(channels, channels, kernel, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=floor)
        self.expand = _linear(channels, inner)
        self.shrink = _linear(inner, channels, scale)

    def init_state(self, batch: int) -> State:
        return self.depthwise.init_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.depthwise.step(x, state)
        y = self.shrink(functional.gelu(self.expand(self.norm(y.transpose(1, 3)))))
        return x + y.transpose(1, 3), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        last = graph.channels_last(x, f"{name}.in")
        y = graph.channels_last(self.depthwise.onnx(graph, name, x), f"{name}.filtered")
        y = graph.layer_norm(self.norm, f"{name}.norm", y)
        y = graph.node("Gelu", [graph.linear(self.expand, f"{name}.expand", y)], f"{name}.gelu")
        y = graph.node("Add", [last, graph.linear(self.shrink, f"{name}.shrink", y)], f"{name}.sum")
        return graph.channels_first(y, f"{name}.out")


def _linear(inputs: int, outputs: int, scale: float = 1.0) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.normal_(linear.weight, std=scale / math.sqrt(inputs))
    nn.init.zeros_(linear.bias)
    return linear


def blocks(
    count: int, width: int, kernel: int, scale: float = RESIDUAL_SCALE, inner: int = 0, floor: float = NORM_FLOOR
) -> dict[str, StreamingModule]:
    """ConvNeXt blocks by their names in a chain."""
    return {f"block{i}": ConvNeXtBlock(width, kernel, scale, inner, floor) for i in range(count)}
