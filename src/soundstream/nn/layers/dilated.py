"""Residual units of Snakes and dilated convolutions, and how far networks of them see.

    encoder: conv k7 -> [3 units, Snake, strided conv] a stride -> conv
    decoder: conv -> [Snake, upsampling conv, 3 units] a stride -> conv k7

Source: DAC (Kumar et al., 2023), section 3.1; with depthwise convolutions SNAC (Siuzdak et al., 2024).
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from soundstream.nn.graph import Graph
from soundstream.nn.layers.padded import PaddedConv, skipped_onnx
from soundstream.nn.layers.snake import Snake
from soundstream.nn.streaming import Chain, State, StreamingModule

KERNEL = 7
"""Of the units, of the encoder's first convolution and of the decoder's last one."""
REACH = KERNEL // 2
"""Items to either side that such a kernel sees."""
DILATIONS = (1, 3, 9)
"""Of the units of a block."""
UNITS_REACH = REACH * sum(DILATIONS)
"""Samples to either side that the units of a block see."""
SCALE = 0.7
"""Weight of a fresh layer behind a Snake, which makes signals larger: the variance stays about the same."""
BRANCH_SCALE = 0.3
"""The same of the last one of a residual branch, to whose output its input is added."""
OUTPUT_SCALE = 0.1
"""Weight of the fresh last convolution of a decoder: the first outputs are quiet."""


class ResidualUnit(StreamingModule):
    """x + conv1(snake(conv7(snake(x)))), the wide kernel dilated, and depthwise where `groups` are the channels."""

    def __init__(self, channels: int, dilation: int, groups: int = 1) -> None:
        super().__init__()
        self.reach = REACH * dilation
        self.branch = Chain(
            snake0=Snake(channels),
            conv0=PaddedConv(channels, channels, KERNEL, dilation=dilation, groups=groups, scale=SCALE),
            snake1=Snake(channels),
            conv1=PaddedConv(channels, channels, kernel=1, scale=BRANCH_SCALE),
        )

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x + self.branch(x), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        beside = skipped_onnx(graph, name, x, self.reach)
        return graph.node("Add", [beside, self.branch.onnx(graph, name, x)], f"{name}.sum")


class Tanh(StreamingModule):
    """Hyperbolic tangent."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return nn.functional.tanh(x), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return graph.node("Tanh", [x], name)


def residual_units(channels: int, groups: int = 1) -> dict[str, ResidualUnit]:
    """Those of a block, by their names in a chain."""
    return {f"unit{i}": ResidualUnit(channels, dilation, groups) for i, dilation in enumerate(DILATIONS)}


def seen_by_encoder(strides: tuple[int, ...], reach: int) -> int:
    """Frames to either side of one that its latents depend on at most.

    Args:
        strides: down-sampling factor of each block.
        reach: frames to either side that the layers behind the blocks see.
    """
    first, last = -reach, reach
    for stride in reversed(strides):
        before = -(-stride // 2)
        first, last = first * stride - before - UNITS_REACH, (last + 2) * stride - 1 - before + UNITS_REACH
    hop = math.prod(strides)
    return max(-((first - REACH) // hop), (last + REACH) // hop)


def seen_by_decoder(strides: tuple[int, ...], reach: int) -> int:
    """Frames to either side of one that its decoded sound depends on at most.

    Args:
        strides: of the encoder; the decoder's blocks mirror them.
        reach: frames to either side that the layers before the blocks see.
    """
    first, last = -REACH, math.prod(strides) - 1 + REACH
    for stride in strides:
        before = -(-stride // 2)
        first, last = (first - UNITS_REACH + before) // stride - 1, (last + UNITS_REACH + before) // stride
    return max(reach - first, last + reach)
