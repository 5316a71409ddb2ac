"""Attention inside of windows: what the frames of a window tell each other, whatever comes before and after them.

frames    | 0 1 ... 31 | 32 33 ... 63 | ...        each sees those of its own window, before it and behind
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from soundstream.nn.graph import Graph
from soundstream.nn.streaming import State, StreamingModule

HEAD_WIDTH = 64
"""Channels of a head."""
ROTARY_BASE = 10_000.0


class WindowAttention(StreamingModule):
    """x + out(attention(norm(x))) of `[batch, channels, 1, time]`, whose time is whole windows.

    Queries and keys are turned by their place in the window (rotary positions, halves of a head paired). Linear layers
    have no biases. A fresh layer passes its input on: the last one starts as zero.

    Args:
        channels: a multiple of the width of a head, which is 64 or, of narrower layers, all channels.

    Source: SNAC (Siuzdak et al., 2024), section 3; rotary positions Su et al., 2021.
    """

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.channels, self.window, self.head = channels, window, min(channels, HEAD_WIDTH)
        self.heads = channels // self.head
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels, bias=False)
        nn.init.normal_(self.qkv.weight, std=1 / math.sqrt(channels))
        nn.init.zeros_(self.out.weight)
        self.turn: Tensor
        self.register_buffer("turn", rotary_turn(window, self.head), persistent=False)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        windows = x.permute(0, 2, 3, 1).reshape(len(x), -1, self.window, self.channels)
        parts = self.qkv(self.norm(windows)).unflatten(3, (3, self.heads, self.head)).permute(3, 0, 1, 4, 2, 5)
        queries, keys = turned(parts[:2], self.turn)
        heard = functional.scaled_dot_product_attention(queries, keys, parts[2])
        heard = self.out(heard.transpose(2, 3).flatten(3))
        return x + heard.reshape(len(x), 1, -1, self.channels).permute(0, 3, 1, 2), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        windows = graph.constant(f"{name}.in", [0, -1, self.window, self.channels])
        y = graph.node("Reshape", [graph.channels_last(x, f"{name}.last"), windows], f"{name}.windows")
        y = matrix_onnx(graph, self.qkv, f"{name}.qkv", graph.layer_norm(self.norm, f"{name}.norm", y))
        heads = graph.constant(f"{name}.heads", [0, 0, 0, 3, self.heads, self.head])
        y = graph.node("Reshape", [y, heads], f"{name}.parts")
        y = graph.node("Transpose", [y], f"{name}.by_part", perm=(3, 0, 1, 4, 2, 5))
        y = self._heard_onnx(graph, name, y)
        y = graph.node("Transpose", [y], f"{name}.joining", perm=(0, 1, 3, 2, 4))
        joined = graph.node("Reshape", [y, graph.constant(f"{name}.flat", [0, 1, -1, self.channels])], f"{name}.joined")
        y = graph.channels_first(matrix_onnx(graph, self.out, f"{name}.out", joined), f"{name}.branch")
        return graph.node("Add", [x, y], f"{name}.sum")

    def _heard_onnx(self, graph: Graph, name: str, parts: str) -> str:
        """What each frame takes from those of its window, `[batch, windows, heads, window, head]`."""
        pair = graph.slice(parts, f"{name}.pair", start=0, end=2, axis=0)
        turn = [graph.constant(f"{name}.turn{i}", part) for i, part in enumerate(self.turn)]
        pair = turned_onnx(graph, name, pair, turn, self.head)
        queries, keys = (
            graph.node("Gather", [pair, place_onnx(graph, f"{name}.{i}", i)], f"{name}.of{i}") for i in (0, 1)
        )
        values = graph.node("Gather", [parts, place_onnx(graph, f"{name}.2", 2)], f"{name}.of2")
        keys = graph.node("Transpose", [keys], f"{name}.keys", perm=(0, 1, 2, 4, 3))
        scale = graph.constant(f"{name}.scale", torch.tensor(1 / math.sqrt(self.head)))
        scores = graph.node("Mul", [graph.node("MatMul", [queries, keys], f"{name}.near"), scale], f"{name}.scores")
        return graph.node(
            "MatMul", [graph.node("Softmax", [scores], f"{name}.shares", axis=-1), values], f"{name}.heard"
        )


def rotary_turn(window: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Cosines and sines `[2, window, width]` of the angle by which each pair of a head is turned at each place."""
    frequencies = ROTARY_BASE ** -(torch.arange(0, width, 2, dtype=dtype) / width)
    angles = torch.arange(window)[:, None] * torch.cat([frequencies, frequencies])
    return torch.stack([angles.cos(), angles.sin()])


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """`[..., window, width]`, of which entries i and i + width / 2 are a pair, turned by `rotary_turn`."""
    first, second = x.chunk(2, dim=-1)
    return x * turn[0] + torch.cat([-second, first], dim=-1) * turn[1]


def turned_onnx(graph: Graph, name: str, x: str, turn: list[str], width: int) -> str:
    """`turned` in a graph; `turn` are names of cosines and sines."""
    half = width // 2
    first, second = (graph.slice(x, f"{name}.half{i}", start=i * half, end=(i + 1) * half, axis=-1) for i in (0, 1))
    across = graph.node("Concat", [graph.node("Neg", [second], f"{name}.back"), first], f"{name}.across_half", axis=-1)
    along = graph.node("Mul", [x, turn[0]], f"{name}.along")
    return graph.node("Add", [along, graph.node("Mul", [across, turn[1]], f"{name}.aside")], f"{name}.turned")


def matrix_onnx(graph: Graph, linear: nn.Linear, name: str, x: str) -> str:
    """A linear layer without a bias in a graph."""
    return graph.node("MatMul", [x, graph.weight(f"{name}.weight", linear.weight, (1, 0))], name)


def place_onnx(graph: Graph, name: str, place: int) -> str:
    """A single index, which leaves no axis where it is gathered."""
    return graph.node("Squeeze", [graph.constant(f"{name}.index", [place])], f"{name}.place")
