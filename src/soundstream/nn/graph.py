"""ONNX graphs: each layer writes its own form into one, `onnx(graph, name, x)`, beside its `step`.

Graphs have 2-D convolutions only. Each state tensor is an input under the name that `init_state` gives it, and an
output under that name with `.next` behind it.

Layers hand on `[batch, channels, 1, time]`. One that computes with channels last, `[batch, 1, time, channels]`, turns
what it takes and gives: a graph knows of which tensor it has both forms, so that nothing is turned to and fro between
such layers, and the states of what they give have channels last, too: there a frame is one piece of memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET = 20
LAST = int(np.iinfo(np.int64).max)
"""End of a slice that reaches to the end."""


class Graph:
    """An ONNX graph that grows layer by layer; names are those of tensors.

    Args:
        exact: store all weights as float32, and none in fewer bits.
    """

    def __init__(self, name: str, exact: bool = False) -> None:
        self.name, self.exact = name, exact
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.states: list[onnx.ValueInfoProto] = []
        self.sides: list[onnx.ValueInfoProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.turned: dict[str, str] = {}
        """Tensors with channels first and the same with channels last, both ways."""

    def input(self, name: str, channels: int, length: int | str) -> None:
        """Declare an input `[batch, channels, 1, length]`."""
        self.inputs.append(_value(name, channels, 1, length))

    def state(self, name: str, channels: int, length: int, last: bool = False) -> None:
        """Declare a state `[batch, channels, 1, length]`, which a tensor with `.next` behind its name follows.

        Args:
            last: it is `[batch, 1, length, channels]`.
        """
        shape = (1, length, channels) if last else (channels, 1, length)
        self.inputs.append(_value(name, *shape))
        self.states.append(_value(f"{name}.next", *shape))

    def side(self, name: str, numbers: int) -> str:
        """Declare a second output `[batch, numbers, 1, 1]`: what a segment has beside its latents."""
        self.sides.append(_value(name, numbers, 1, 1))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        return self.node_of_many(kind, inputs, [output], **attributes)

    def node_of_many(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Append a node with several outputs and return the first one's name."""
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs[0]

    def constant(self, name: str, value: Tensor | list[int]) -> str:
        """A weight, stored as float16 and cast to float32 when the graph is loaded, or a list of whole numbers."""
        if isinstance(value, list) or self.exact:
            kept = np.array(value, np.int64) if isinstance(value, list) else value.detach().float().numpy()
            self.weights.append(numpy_helper.from_array(np.ascontiguousarray(kept), name))
            return name
        self.weights.append(numpy_helper.from_array(value.detach().numpy().astype(np.float16), f"{name}.half"))
        return self.node("Cast", [f"{name}.half"], name, to=TensorProto.FLOAT)

    def weight(self, name: str, weight: Tensor, axes: tuple[int, ...] | None = None) -> str:
        """A kernel or matrix `[out, ...]`, stored as int8 and scaled when the graph is loaded; `axes` permutes it."""
        if self.exact:
            return self.constant(name, weight.permute(axes) if axes else weight)
        values, scale = (part.permute(axes) if axes else part for part in quantize_weight(weight.detach()))
        self.weights += [
            numpy_helper.from_array(np.ascontiguousarray(part.numpy()), f"{name}.{key}")
            for key, part in (("int8", values), ("scale", scale))
        ]
        self.node("Cast", [f"{name}.int8"], f"{name}.values", to=TensorProto.FLOAT)
        return self.node("Mul", [f"{name}.values", f"{name}.scale"], name)

    def join_left(self, state: str, channels: int, length: int, x: str) -> str:
        """`x` behind the `length` samples that went before it, which are a state with channels where `x` has them."""
        last = x in self.turned
        axis, joined = (2, f"{state}.last") if last else (3, f"{state}.joined")
        self.state(state, channels, length, last)
        self.node("Concat", [state, self.turned.get(x, x)], joined, axis=axis)
        self.slice(joined, f"{state}.next", start=-length, end=LAST, axis=axis)
        return self.channels_first(joined, f"{state}.joined") if last else joined

    def slice(self, x: str, output: str, **bounds: int) -> str:
        """Part of a tensor, from `start` to `end` of `axis`."""
        names = [self.constant(f"{output}.{key}", [value]) for key, value in bounds.items()]
        return self.node("Slice", [x, *names], output)

    def channels(self, x: str, output: str, start: int, end: int) -> str:
        """Some channels of a tensor that has them last; they come first in what it returns."""
        return self.channels_first(self.slice(x, f"{output}.last", start=start, end=end, axis=3), output)

    def layer_norm(self, norm: nn.LayerNorm, name: str, x: str) -> str:
        """Normalize over the last axis."""
        weights = [self.constant(f"{name}.weight", norm.weight), self.constant(f"{name}.bias", norm.bias)]
        return self.node("LayerNormalization", [x, *weights], name, axis=-1, epsilon=norm.eps)

    def linear(self, linear: nn.Linear, name: str, x: str) -> str:
        """A matrix product over the last axis, and a bias."""
        y = self.node("MatMul", [x, self.weight(f"{name}.weight", linear.weight, (1, 0))], f"{name}.product")
        return self.node("Add", [y, self.constant(f"{name}.bias", linear.bias)], name)

    def channels_last(self, x: str, output: str) -> str:
        """`[batch, channels, 1, time]` to `[batch, 1, time, channels]`, by the name that it returns."""
        return self._turned(x, output, (0, 2, 3, 1))

    def channels_first(self, x: str, output: str) -> str:
        """The way back."""
        return self._turned(x, output, (0, 3, 1, 2))

    def _turned(self, x: str, output: str, perm: tuple[int, ...]) -> str:
        """The other form of `x`; it is made once, and only if there is none."""
        if x not in self.turned:
            self.turned |= {x: output, output: x}
            self.node("Transpose", [x], output, perm=perm)
        return self.turned[x]

    def finish(self, output: str, channels: int, length: str) -> onnx.ModelProto:
        """The model; its first output is `output`, `[batch, channels, 1, length]`, side numbers and states follow."""
        outputs = [_value(output, channels, 1, length), *self.sides, *self.states]
        nodes = _needed(self.nodes, {value.name for value in outputs})
        graph = helper.make_graph(nodes, self.name, self.inputs, outputs, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def quantize_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values of a kernel or matrix `[out, ...]`, and their scale `[out, 1, ...]`."""
    scale = weight.abs().amax(dim=tuple(range(1, weight.dim())), keepdim=True).clamp(min=1e-12) / 127
    return (weight / scale).round().to(torch.int8), scale


def _needed(nodes: list[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """Nodes that the wanted tensors come from, in their order: forms that no layer asked for are left out."""
    found = []
    for node in reversed(nodes):
        if wanted & {*node.output}:
            wanted |= {*node.input}
            found.append(node)
    return found[::-1]


def _value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
