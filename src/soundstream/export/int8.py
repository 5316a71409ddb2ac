"""int8 matrix multiplication: weights stay the int8 they are stored as, and inputs become int8 block by block.

A single frame so takes about half the time: most of it goes into reading weights. Where a machine lacks the
instructions, ONNX Runtime multiplies with float32.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

BLOCK = 64
"""Neighbouring inputs that are rounded with one scale."""
MIN_WEIGHTS = 2**15
"""Smaller matrices stay as they are: they take no time."""
ZERO_POINT = 128
"""Where ONNX Runtime's unsigned 8-bit weights are zero."""
ROUND_INPUTS = 4
"""The `accuracy_level` at which it rounds inputs as well."""
DOMAIN = "com.microsoft"


def with_int8_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which products with large int8 matrices are ONNX Runtime's `MatMulNBits`.

    Args:
        model: a graph of `Graph`, which makes each matrix of int8 values and their scales, `[in, out]` and `[1, out]`.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    arrays = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    large = {name for node in graph.node if node.op_type == "MatMul" and _is_large(arrays, name := node.input[1])}
    nodes = [_product(n, arrays) if large & set(n.input) else n for n in graph.node if not _makes(n, large)]
    _keep(graph.node, [_spread(name) for name in sorted(large)] + nodes)
    stored = {f"{name}.{part}" for name in large for part in ("int8", "scale")}
    _keep(graph.initializer, [weight for weight in graph.initializer if weight.name not in stored])
    for name in sorted(large):
        graph.initializer.extend(_blocks(name, arrays[f"{name}.int8"], arrays[f"{name}.scale"]))
    changed.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return changed


def _is_large(arrays: dict[str, NDArray], name: str) -> bool:
    values = arrays.get(f"{name}.int8")
    return values is not None and values.size >= MIN_WEIGHTS and values.shape[0] % BLOCK == 0


def _makes(node: onnx.NodeProto, matrices: set[str]) -> bool:
    return node.output[0].removesuffix(".values") in matrices


def _product(node: onnx.NodeProto, arrays: dict[str, NDArray]) -> onnx.NodeProto:
    x, name = node.input
    inputs, outputs = arrays[f"{name}.int8"].shape
    size = {"K": inputs, "N": outputs, "bits": 8, "block_size": BLOCK, "accuracy_level": ROUND_INPUTS}
    return helper.make_node("MatMulNBits", [x, f"{name}.blocks", f"{name}.scales"], node.output, domain=DOMAIN, **size)


def _spread(name: str) -> onnx.NodeProto:
    """The scale of each output for each of its blocks; ONNX Runtime does it once, when it loads the graph."""
    return helper.make_node("Expand", [f"{name}.scale", f"{name}.spread"], [f"{name}.scales"])


def _blocks(name: str, values: NDArray, scale: NDArray) -> list[onnx.TensorProto]:
    """A matrix as `MatMulNBits` reads it: `[out, blocks, BLOCK]`, a scale `[out, 1]` and the shape of all scales."""
    count = len(values) // BLOCK
    blocks = (values.T.astype(np.int16) + ZERO_POINT).astype(np.uint8).reshape(-1, count, BLOCK)
    scales = scale.reshape(-1, 1).astype(np.float32)
    arrays: dict[str, NDArray] = {"blocks": blocks, "scale": scales, "spread": np.array([len(scales), count], np.int64)}
    return [numpy_helper.from_array(array, f"{name}.{part}") for part, array in arrays.items()]


def _keep(field: object, items: list) -> None:
    """Leave only these items in a repeated field."""
    kept = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]  # type: ignore[attr-defined]
    field.extend(kept)  # type: ignore[attr-defined]
