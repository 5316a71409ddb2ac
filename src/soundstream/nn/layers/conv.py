"""Causal convolutions with explicit state.

    convolution, kernel 3, dilation 2          strided, kernel 4, stride 2         transposed, kernel 4, stride 2
    left . . . . | x0 x1 x2 ...                left . . | x0 x1 x2 x3 ...          left . | x0  x1  ...
         └───┴─────┘ y0                             └─┴───┴──┘ y0                       └────┴─┘ y0 y1
    left = (kernel-1)*dilation - (stride-1) samples                                left = one sample

All padding lies in the past. A strided layer takes whole multiples of its stride.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from soundstream.nn.graph import LAST, Graph
from soundstream.nn.streaming import State, StreamingModule

GAIN = 1.2
"""Standard deviation of a fresh weight is GAIN / sqrt(fan_in): it keeps the variance of a signal through ELU layers."""


class CausalConv(StreamingModule):
    """Convolution over time that sees only the past.

    `[batch, in_channels, 1, time]` becomes `[batch, out_channels, 1, time / stride]`. Weights start as a normal
    distribution that preserves variance, times `scale`; PyTorch's own start makes the signal decay from layer to layer.
    With `groups` equal to the channels it is depthwise: each channel is filtered by itself.
    """

    int8 = True
    """Whether an artifact stores the weights as int8 with a scale for each output channel; or else as float16."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.in_channels, self.stride, self.dilation, self.groups = in_channels, stride, dilation, groups
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels // groups, 1, kernel))
        self.weight.data *= scale * GAIN / math.sqrt(in_channels // groups * kernel)
        self.bias = nn.Parameter(torch.zeros(out_channels))

    @property
    def left_samples(self) -> int:
        """Past samples that the next output needs."""
        return (self.weight.shape[-1] - 1) * self.dilation - (self.stride - 1)

    def init_state(self, batch: int) -> State:
        if not self.left_samples:
            return {}
        return {"left": self.weight.new_zeros(batch, self.in_channels, 1, self.left_samples)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if state:
            x = torch.cat([state["left"].to(x.dtype), x], dim=-1)
        return self.product(x), dict.fromkeys(state, x[..., -self.left_samples :])

    def product(self, x: Tensor) -> Tensor:
        """The convolution alone, of what has its past before it."""
        stride, dilation = (1, self.stride), (1, self.dilation)
        return functional.conv2d(x, self.weight, self.bias, stride=stride, dilation=dilation, groups=self.groups)

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        if self.left_samples:
            x = graph.join_left(f"{name}.left", self.in_channels, self.left_samples, x)
        return self.product_onnx(graph, name, x)

    def product_onnx(self, graph: Graph, name: str, x: str) -> str:
        """The convolution alone, of what has its past before it."""
        store = graph.weight if self.int8 else graph.constant
        weights = [store(f"{name}.weight", self.weight), graph.constant(f"{name}.bias", self.bias)]
        strides, dilations = (1, self.stride), (1, self.dilation)
        return graph.node("Conv", [x, *weights], name, strides=strides, dilations=dilations, group=self.groups)


class HeldConv(CausalConv):
    """A causal convolution that takes the first sample for all those before it.

    Its state has `known`, which is 0 until a sample has come.

    Source: the layer of Mimi (Défossez et al., 2024) that halves the frame rate.
    """

    def init_state(self, batch: int) -> State:
        return super().init_state(batch) | {"known": self.weight.new_zeros(batch, 1, 1, 1)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        left = torch.where(state["known"] > 0, state["left"].to(x.dtype), x[..., :1])
        y, after = super().step(x, {"left": left})
        return y, after | {"known": torch.ones_like(state["known"])}

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        for key, channels, length in (("left", self.in_channels, self.left_samples), ("known", 1, 1)):
            graph.state(f"{name}.{key}", channels, length)
        zero, one = (graph.constant(f"{name}.{i}", torch.tensor(float(i))) for i in (0, 1))
        was = graph.node("Greater", [f"{name}.known", zero], f"{name}.was")
        first = graph.slice(x, f"{name}.first", start=0, end=1, axis=3)
        left = graph.node("Where", [was, f"{name}.left", first], f"{name}.held")
        joined = graph.node("Concat", [left, x], f"{name}.left.joined", axis=3)
        graph.slice(joined, f"{name}.left.next", start=-self.left_samples, end=LAST, axis=3)
        none = graph.node("Mul", [f"{name}.known", zero], f"{name}.none")
        graph.node("Add", [none, one], f"{name}.known.next")
        return self.product_onnx(graph, name, joined)


class CausalUpsample(StreamingModule):
    """Transposed convolution with kernel 2 x stride, as a plain convolution of kernel 2 and a reshape; a bias a phase.

    `[batch, in_channels, 1, time]` becomes `[batch, out_channels, 1, time * stride]`. Output channel
    `c * stride + s` of the convolution is sample `s` of channel `c`. Its state is one input sample. With `groups` equal
    to the channels it is depthwise.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.conv = CausalConv(in_channels, out_channels * stride, kernel=2, groups=groups)

    def init_state(self, batch: int) -> State:
        return self.conv.init_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.conv.step(x, state)
        return interleaved(y, self.stride), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return interleaved_onnx(graph, name, self.conv.onnx(graph, name, x), len(self.conv.weight), self.stride)


def interleaved(x: Tensor, stride: int) -> Tensor:
    """`[batch, channels * stride, 1, time]` to `[batch, channels, 1, time * stride]`, phase after phase."""
    batch, channels, _, time = x.shape
    phases = x.reshape(batch, channels // stride, stride, time).transpose(2, 3)
    return phases.reshape(batch, channels // stride, 1, time * stride)


def interleaved_onnx(graph: Graph, name: str, x: str, channels: int, stride: int) -> str:
    """The same in a graph, of so many channels before; those of a single one are in order with channels last."""
    if channels == stride:
        samples = graph.constant(f"{name}.join", [0, 1, 1, -1])
        return graph.node("Reshape", [graph.channels_last(x, f"{name}.rows"), samples], f"{name}.samples")
    split = graph.constant(f"{name}.split", [0, channels // stride, stride, -1])
    join = graph.constant(f"{name}.join", [0, channels // stride, 1, -1])
    y = graph.node("Reshape", [x, split], f"{name}.phases")
    y = graph.node("Transpose", [y], f"{name}.interleaved", perm=(0, 1, 3, 2))
    return graph.node("Reshape", [y, join], f"{name}.samples")


class Elu(StreamingModule):
    """Exponential linear unit."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return functional.elu(x), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        """max(x, exp(min(x, 0)) - 1): ONNX Runtime's own Elu takes twice the time."""
        zero, one = (graph.constant(f"{name}.{value}", torch.tensor(value)) for value in (0.0, 1.0))
        y = graph.node("Clip", [x, "", zero], f"{name}.negative")
        y = graph.node("Exp", [y], f"{name}.exp")
        y = graph.node("Sub", [y, one], f"{name}.below")
        return graph.node("Max", [x, y], name)
