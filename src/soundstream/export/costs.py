"""What a network costs and remembers, read from its own graph."""

from __future__ import annotations

import copy
import math

import onnx

from soundstream.runtime.session import STATE_SUFFIX


def macs_per_frame(model: onnx.ModelProto, hop_length: int) -> int:
    """Multiplications with additions of convolutions and matrix products of a graph, for one frame of one signal."""
    graph, shapes = _inferred(model, hop_length)
    inner = {"Conv": slice(1, None), "MatMul": slice(-2, -1)}
    return sum(
        math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][inner[node.op_type]])
        for node in graph.node
        if node.op_type in inner
    )


def memory_frames(model: onnx.ModelProto, hop_length: int) -> int:
    """Frames before one that its output may depend on, at most: what all states together hold of the past.

    Each state is the end of what went before the samples that a layer takes next, and is joined to them.
    """
    graph, shapes = _inferred(model, hop_length)
    states = {value.name: value.type.tensor_type.shape.dim[3].dim_value for value in graph.input}
    joins = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "Concat"}
    outputs = {output.name for output in model.graph.output}
    kept = [name for name in states if f"{name}{STATE_SUFFIX}" in outputs]
    return math.ceil(sum(states[name] / (shapes[joins[name]][3] - states[name]) for name in kept))


def _inferred(model: onnx.ModelProto, hop_length: int) -> tuple[onnx.GraphProto, dict[str, list[int]]]:
    """The graph for one frame of one signal, and the shapes of what its nodes give."""
    model = copy.deepcopy(model)
    sizes = {"batch": 1, "frames": 1, "samples": hop_length}
    for value in model.graph.input:
        for dimension in value.type.tensor_type.shape.dim:
            dimension.dim_value = sizes.get(dimension.dim_param) or dimension.dim_value
    del model.graph.output[:]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    return inferred, {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in inferred.value_info}
