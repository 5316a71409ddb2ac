"""Causal convolution whose ends are mirrored: before the first sample of a signal, and behind its last.

kernel 4, stride 2        x2 x1 | x0 x1 x2 x3 x4 | x3        the past at the start, and what completes the last output
                          └──┴────┴──┘ y0
                                  └──┴──┴──┘ y1
"""

from __future__ import annotations

import torch
from torch import Tensor

from soundstream.nn.graph import LAST, Graph
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.streaming import State


class ReflectedConv(CausalConv):
    """`CausalConv` with reflection at both ends: `[batch, in, 1, time]` becomes `[batch, out, 1, ceil(time / stride)]`.

    The first `left_samples` of the past are a reflection of what follows them, so that any chunks equal the whole if
    the first one has more samples than that; of a shorter one zeros stand for those that have not come. All chunks but
    the last have whole multiples of the stride; the last one may have any length, and is completed by reflection. A
    signal that is shorter than what is reflected has zeros behind it.

    Source: EnCodec (Défossez et al., 2022, section 3.1), whose 24 kHz model pads so.
    """

    def init_state(self, batch: int) -> State:
        return super().init_state(batch) | {"started": self.weight.new_zeros(batch, 1, 1, 1)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        past, length = state["left"].to(x.dtype), self.left_samples
        ahead = torch.cat([x[..., : length + 1], past], dim=-1)[..., 1 : length + 1]
        left = torch.where(state["started"] > 0, past, ahead.flip(-1))
        joined = torch.cat([left, x], dim=-1)
        short = (state["started"] == 0) & (x.shape[-1] <= length)
        return self.product(self._completed(joined, short)), {
            "left": joined[..., -length:],
            "started": torch.ones_like(state["started"]),
        }

    def _completed(self, joined: Tensor, short: Tensor) -> Tensor:
        """With as much behind it as the last output may lack; more is too little for another one."""
        if self.stride == 1:
            return joined
        behind = joined[..., -self.stride : -1].flip(-1)
        return torch.cat([joined, behind.masked_fill(short, 0)], dim=-1)

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        left, length = f"{name}.left", self.left_samples
        started = _started_onnx(graph, f"{name}.started")
        graph.state(left, self.in_channels, length)
        head = graph.slice(x, f"{name}.head", start=0, end=length + 1, axis=3)
        ahead = graph.node("Concat", [head, left], f"{name}.ahead", axis=3)
        mirrored = graph.slice(ahead, f"{name}.mirrored", start=length, end=0, axis=3, step=-1)
        past = graph.node("Where", [started, left, mirrored], f"{name}.past")
        if self.stride == 1:
            whole = joined = graph.node("Concat", [past, x], f"{left}.joined", axis=3)
        else:  # only its end is joined, so that the signal is copied once
            recent = graph.slice(x, f"{name}.recent", start=-max(length, self.stride), end=LAST, axis=3)
            joined = graph.node("Concat", [past, recent], f"{left}.joined", axis=3)
            behind = self._behind_onnx(graph, name, x, started)
            whole = graph.node("Concat", [past, x, behind], f"{name}.completed", axis=3)
        graph.slice(joined, f"{left}.next", start=-length, end=LAST, axis=3)
        return self.product_onnx(graph, name, whole)

    def _behind_onnx(self, graph: Graph, name: str, x: str, started: str) -> str:
        behind = graph.slice(f"{name}.left.joined", f"{name}.behind", start=-2, end=-self.stride - 1, axis=3, step=-1)
        samples = graph.node("Shape", [x], f"{name}.samples", start=3)
        enough = graph.node(
            "Greater", [samples, graph.constant(f"{name}.reach", [self.left_samples])], f"{name}.enough"
        )
        whole = graph.node("Or", [started, enough], f"{name}.whole")
        zero = graph.constant(f"{name}.zero", torch.tensor(0.0))
        return graph.node("Where", [whole, behind, zero], f"{name}.completion")


def _started_onnx(graph: Graph, state: str) -> str:
    """Whether a signal has begun, as a state that is 0 before and 1 from then on."""
    graph.state(state, 1, 1)
    zero, one = (graph.constant(f"{state}.{value}", torch.tensor(value)) for value in (0.0, 1.0))
    graph.node("Max", [state, one], f"{state}.next")
    return graph.node("Greater", [state, zero], f"{state}.already")
