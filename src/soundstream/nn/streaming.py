"""What every causal layer has in common: explicit state, and one code path for streams and whole clips."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundstream.nn.graph import Graph

State = dict[str, Tensor]
"""What a layer remembers between two calls: tensors by name, such as `block0.unit1.conv.left`."""


def without_autocast(x: Tensor) -> torch.autocast:
    """A context for layers whose dynamic range bfloat16 cannot hold: they compute as precisely as their weights are."""
    return torch.autocast(x.device.type, enabled=False)


class StreamingModule(nn.Module):
    """A causal layer: `step` takes the next samples and the state, and returns output and new state.

    `forward` is `step` from a zero state, which is what zero padding on the left means. Audio inside the
    networks is `[batch, channels, 1, time]`: 2-D convolutions are the fast ones on CPUs and GPUs alike.
    """

    def init_state(self, batch: int) -> State:
        """State before the first sample."""
        return {}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Process the next samples: `(x, state) -> (y, state)`."""
        raise NotImplementedError

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        """Write the layer into a graph, reading the tensor `x`; returns the name of its output."""
        raise NotImplementedError(f"no ONNX form of {type(self).__name__}")

    def forward(self, x: Tensor) -> Tensor:
        """Process a whole clip."""
        return self.step(x, self.init_state(x.shape[0]))[0]


class Chain(StreamingModule):
    """Named layers one after the other; their state names are joined with dots."""

    def __init__(self, **layers: StreamingModule) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def layers(self) -> list[tuple[str, StreamingModule]]:
        """Layers with their names, in the order of processing."""
        return [(name, layer) for name, layer in self.named_children() if isinstance(layer, StreamingModule)]

    def init_state(self, batch: int) -> State:
        return {f"{n}.{key}": v for n, layer in self.layers() for key, v in layer.init_state(batch).items()}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        new_state: State = {}
        for name, _ in self.layers():
            x, part = self.step_layer(name, x, state)
            new_state |= part
        return x, new_state

    def step_layer(self, name: str, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One layer alone; takes the chain's state, and returns the layer's part of the new one."""
        prefix = f"{name}."
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        y, new_state = getattr(self, name).step(x, own)
        return y, {prefix + key: value for key, value in new_state.items()}

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        for part, layer in self.layers():
            x = layer.onnx(graph, f"{name}.{part}".lstrip("."), x)
        return x
