"""What a network costs: the multiplications of its convolutions and matrix products, counted in its own graph."""

from __future__ import annotations

import copy
import math

import onnx


def macs_per_frame(model: onnx.ModelProto, hop_length: int) -> int:
    """Multiplications with additions of convolutions and matrix products of a graph, for one frame of one signal."""
    model = copy.deepcopy(model)
    sizes = {"batch": 1, "frames": 1, "samples": hop_length}
    for value in model.graph.input:
        for dimension in value.type.tensor_type.shape.dim:
            dimension.dim_value = sizes.get(dimension.dim_param) or dimension.dim_value
    del model.graph.output[:]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in inferred.value_info}
    inner = {"Conv": slice(1, None), "MatMul": slice(-2, -1)}
    return sum(
        math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][inner[node.op_type]])
        for node in inferred.node
        if node.op_type in inner
    )
