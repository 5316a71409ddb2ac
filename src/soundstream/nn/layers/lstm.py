"""A recurrent layer whose memory is a state like any other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundstream.nn.graph import Graph
from soundstream.nn.streaming import State, StreamingModule, without_autocast

PARTS = ("hidden", "cell")
"""What a layer remembers."""
GATES = (0, 3, 1, 2)
"""Where the gates that ONNX has in the order i, o, f, g stand in PyTorch's order i, f, g, o."""


class Lstm(StreamingModule):
    """x + LSTM(x), layers as wide as their input: `[batch, channels, 1, time]` to the same.

    Its states are `hidden0`, `cell0`, `hidden1` ..., `[batch, channels, 1, 1]` for each layer. What they remember has
    no end, but fades.

    Source: Hochreiter and Schmidhuber (1997), with a forget gate (Gers et al., 2000); the sum with the input as in
    EnCodec (Défossez et al., 2022, section 3.1).
    """

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.channels, self.count = channels, layers
        self.lstm = nn.LSTM(channels, channels, layers)

    def init_state(self, batch: int) -> State:
        names = [f"{part}{layer}" for layer in range(self.count) for part in PARTS]
        weight = next(self.parameters())
        return {name: weight.new_zeros(batch, self.channels, 1, 1) for name in names}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        with without_autocast(x):
            x = x.to(next(self.parameters()).dtype)
            past = [torch.stack([state[f"{part}{i}"][..., 0, 0] for i in range(self.count)]) for part in PARTS]
            y, after = self.lstm(x[:, :, 0].permute(2, 0, 1), tuple(past))
        new = {
            f"{part}{layer}": value[..., None, None]
            for part, values in zip(PARTS, after, strict=True)
            for layer, value in enumerate(values)
        }
        return x + y.permute(1, 2, 0)[:, :, None], new

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        y = graph.node("Squeeze", [x, graph.constant(f"{name}.axis", [2])], f"{name}.flat")
        y = graph.node("Transpose", [y], f"{name}.time_first", perm=(2, 0, 1))
        for layer in range(self.count):
            y = self._layer_onnx(graph, f"{name}.{layer}", name, layer, y)
        y = graph.node("Transpose", [y], f"{name}.time_last", perm=(1, 2, 0))
        y = graph.node("Unsqueeze", [y, f"{name}.axis"], f"{name}.remembered")
        return graph.node("Add", [x, y], name)

    def _layer_onnx(self, graph: Graph, name: str, chain: str, layer: int, x: str) -> str:
        """One layer, `[time, batch, channels]` to the same; its states are those of the whole, `chain.hidden0` ..."""
        weights = [
            graph.constant(f"{name}.{kind}", self._reordered(kind, layer)) for kind in ("weight_ih", "weight_hh")
        ]
        biases = torch.cat([self._reordered(kind, layer) for kind in ("bias_ih", "bias_hh")], dim=1)
        inputs = [x, *weights, graph.constant(f"{name}.bias", biases), ""]
        states = [f"{chain}.{part}{layer}" for part in PARTS]
        last = graph.constant(f"{name}.last", [3])
        for state in states:
            graph.state(state, self.channels, 1)
            turned = graph.node("Transpose", [state], f"{state}.turned", perm=(2, 0, 1, 3))
            inputs.append(graph.node("Squeeze", [turned, last], f"{state}.past"))
        outputs = [f"{name}.sequence", *(f"{state}.after" for state in states)]
        graph.node_of_many("LSTM", inputs, outputs, hidden_size=self.channels)
        for state in states:
            turned = graph.node("Unsqueeze", [f"{state}.after", last], f"{state}.unturned")
            graph.node("Transpose", [turned], f"{state}.next", perm=(1, 2, 0, 3))
        return graph.node("Squeeze", [outputs[0], graph.constant(f"{name}.direction", [1])], f"{name}.out")

    def _reordered(self, kind: str, layer: int) -> Tensor:
        """Weights of a layer as ONNX has them: `[1, 4 channels, ...]`."""
        gates = getattr(self.lstm, f"{kind}_l{layer}").unflatten(0, (4, self.channels))
        return gates[list(GATES)].flatten(0, 1)[None]
