"""What a network costs and remembers, read from its own graph."""

from __future__ import annotations

import copy
import math

import onnx

from soundstream.runtime.session import STATE_SUFFIX


def macs_per_frame(model: onnx.ModelProto, hop_length: int, window: int = 1) -> int:
    """Multiplications with additions of convolutions and matrix products of a graph, for one frame of one signal.

    Args:
        window: frames that the network takes together.
    """
    graph, shapes = _inferred(model, hop_length, window)
    inner = {"Conv": slice(1, None), "MatMul": slice(-2, -1)}
    products = sum(
        math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][inner[node.op_type]])
        for node in graph.node
        if node.op_type in inner
    )
    lstms = [node for node in graph.node if node.op_type == "LSTM"]
    recurrent = sum(shapes[n.output[0]][0] * math.prod(shapes[w]) for n in lstms for w in n.input[1:3])
    return (products + recurrent) // window


def memory_frames(model: onnx.ModelProto, hop_length: int, window: int = 1) -> int:
    """Frames before one that its output may depend on, at most: what all states together hold of the past.

    Each of these is the end of what went before the samples that a layer takes next, and is joined to them. Other
    states, as those of an LSTM, do not count.

    Args:
        window: frames that the network takes together.
    """
    graph, shapes = _inferred(model, hop_length, window)
    states = {v.name: math.prod(d.dim_value for d in v.type.tensor_type.shape.dim) for v in graph.input}
    outputs = {output.name for output in model.graph.output}
    joined = {name: shapes.get(f"{name}.joined") for name in states if f"{name}{STATE_SUFFIX}" in outputs}
    lengths = [(states[name] / math.prod(shape[:3]), shape[3]) for name, shape in joined.items() if shape]
    return math.ceil(sum(window * held / (whole - held) for held, whole in lengths))


def _inferred(model: onnx.ModelProto, hop_length: int, window: int) -> tuple[onnx.GraphProto, dict[str, list[int]]]:
    """The graph for a window of one signal, and the shapes of what its nodes give."""
    model = copy.deepcopy(model)
    sizes = {"batch": 1, "frames": window, "samples": window * hop_length}
    for value in model.graph.input:
        for dimension in value.type.tensor_type.shape.dim:
            dimension.dim_value = sizes.get(dimension.dim_param) or dimension.dim_value
    del model.graph.output[:]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in inferred.value_info}
    return inferred, shapes | {weight.name: list(weight.dims) for weight in inferred.initializer}
