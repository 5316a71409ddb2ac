"""A layer alone, in ONNX Runtime."""

import numpy as np
import onnxruntime
import torch

from soundstream.nn.graph import Graph


class OnnxLayer:
    """The form of a layer that artifacts have, with all weights as float32; `step` as that of the layer."""

    def __init__(self, layer, channels):
        graph = Graph("layer", exact=True)
        graph.input("x", channels, "samples")
        graph.node("Identity", [layer.onnx(graph, "layer", "x")], "y")
        self.session = onnxruntime.InferenceSession(graph.finish("y", channels, "frames").SerializeToString())
        self.names = [value.name.removesuffix(".next") for value in self.session.get_outputs()[1:]]

    def init_state(self, batch):
        shapes = {value.name: value.shape[1:] for value in self.session.get_inputs() if value.name in self.names}
        return {name: np.zeros((batch, *shape), np.float32) for name, shape in shapes.items()}

    def step(self, x, state):
        y, *after = self.session.run(None, {"x": x.numpy(), **state})
        return torch.from_numpy(y), dict(zip(self.names, after, strict=True))


def in_chunks(layer, x, sizes):
    """What a layer makes of chunks of these lengths, and of the rest as one."""
    state, parts = layer.init_state(len(x)), []
    for chunk in torch.split(x, [*sizes, x.shape[-1] - sum(sizes)], dim=-1):
        y, state = layer.step(chunk, state)
        parts.append(y)
    return torch.cat(parts, dim=-1)
