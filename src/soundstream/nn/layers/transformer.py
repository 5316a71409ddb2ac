"""Transformer layers that go on for ever: each frame sees a window of those before it, which are their state.

known, cached   | . . . . k k k k |  t t t          a frame sees itself and `window - 1` before it;
                  not yet   state    new frames      those that never were have no weight
"""

from __future__ import annotations

import math

import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.nn import functional

from soundstream.nn.graph import LAST, Graph
from soundstream.nn.layers.attention import ROTARY_BASE, matrix_onnx, place_onnx, rotary_turn, turned, turned_onnx
from soundstream.nn.streaming import State, StreamingModule

START_SCALE = 0.01
"""Weight of a fresh layer's branches."""
CACHED = ("keys", "values")
UNSEEN = -1e9
"""Added to the score of a frame that is not seen."""


class CausalTransformer(StreamingModule):
    """Layers of attention and feed-forward, `[batch, channels, 1, time]` to the same.

    Queries and keys are turned by their place (rotary positions, halves of a head paired). Keys are kept as they are
    and turned when they are used, so that only distances count and a stream may be endless. Linear layers have no
    biases. The state has `known`, of 1 where a frame was, and keys and values of each layer, `window - 1` frames.

    Args:
        channels: a multiple of `heads`.
        feedforward: channels between the two linear layers.
        window: frames that a frame sees, itself among them.

    Source: Vaswani et al., 2017, with norms first; as in Mimi (Défossez et al., 2024, section 3.3.1).
    """

    def __init__(self, channels: int, layers: int, heads: int, feedforward: int, window: int) -> None:
        super().__init__()
        self.channels, self.heads, self.window = channels, heads, window
        self.layers = nn.ModuleList(Layer(channels, feedforward) for _ in range(layers))

    @property
    def head(self) -> int:
        """Channels of a head."""
        return self.channels // self.heads

    def init_state(self, batch: int) -> State:
        weight, length = next(self.parameters()), self.window - 1
        names = [f"{part}{i}" for i in range(len(self.layers)) for part in CACHED]
        state = {name: weight.new_zeros(batch, self.channels, 1, length) for name in names}
        return state | {"known": weight.new_zeros(batch, 1, 1, length)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        known = torch.cat([state["known"].to(x.dtype), torch.ones_like(x[:, :1])], dim=3)
        precise = torch.promote_types(x.dtype, torch.float32)
        seen, turn = self._seen(known, x.shape[3]), rotary_turn(known.shape[3], self.head, precise).to(x)
        after, y = {"known": known[..., x.shape[3] :]}, x[:, :, 0].transpose(1, 2)
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            queries, *fresh = (self._by_head(part) for part in layer.qkv(layer.norm1(y)).chunk(3, dim=2))
            past = (self._from_state(state[f"{part}{i}"]).to(x.dtype) for part in CACHED)
            keys, values = (torch.cat(pair, dim=2) for pair in zip(past, fresh, strict=True))
            for part, whole in zip(CACHED, (keys, values), strict=True):
                after[f"{part}{i}"] = self._to_state(whole[:, :, x.shape[3] :])
            queries, keys = turned(queries, turn[:, self.window - 1 :]), turned(keys, turn)
            heard = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
            y = layer.mixed(y + layer.scale1 * layer.out(heard.transpose(1, 2).flatten(2)))
        return y.transpose(1, 2)[:, :, None], after

    def _seen(self, known: Tensor, time: int) -> Tensor:
        """Which frames each of the last `time` sees `[batch, 1, time, all]`."""
        places = torch.arange(known.shape[3], device=known.device)
        distance = places[self.window - 1 :, None] - places
        return ((distance >= 0) & (distance < self.window)) & (known > 0)

    def _by_head(self, x: Tensor) -> Tensor:
        """`[batch, time, channels]` to `[batch, heads, time, head]`."""
        return x.view(*x.shape[:2], self.heads, self.head).transpose(1, 2)

    def _from_state(self, x: Tensor) -> Tensor:
        """`[batch, channels, 1, time]` to `[batch, heads, time, head]`."""
        return x.view(len(x), self.heads, self.head, -1).transpose(2, 3)

    def _to_state(self, x: Tensor) -> Tensor:
        return x.transpose(2, 3).flatten(1, 2)[:, :, None]

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        seen, turn = self._seen_onnx(graph, name, x)
        y = graph.channels_last(x, f"{name}.last")
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            y = self._layer_onnx(graph, name, i, layer, (y, seen), turn)
        return graph.channels_first(y, f"{name}.first")

    def _seen_onnx(self, graph: Graph, name: str, x: str) -> tuple[str, tuple[list[str], list[str]]]:
        """What to add to scores, `[batch, 1, time, all]`; cosines and sines of keys, and of queries."""

        def node(kind: str, part: str, *inputs: str, **attributes: int) -> str:
            return graph.node(kind, list(inputs), f"{name}.{part}", **attributes)

        one = graph.constant(f"{name}.one", torch.ones(()))
        level = graph.slice(x, f"{name}.level", start=0, end=1, axis=1)
        graph.state(f"{name}.known", 1, self.window - 1)
        now = node("Add", "now", node("Sub", "none", level, level), one)
        known = node("Concat", "known.all", f"{name}.known", now, axis=3)
        graph.slice(known, f"{name}.known.next", start=-(self.window - 1), end=LAST, axis=3)
        axis = graph.constant(f"{name}.axis", [0])
        length = node("Squeeze", "length", node("Shape", "sizes", known, start=3), axis)
        start, step, first = (place_onnx(graph, f"{name}.{key}", key) for key in (0, 1, self.window - 1))
        places = node("Cast", "places", node("Range", "range", start, length, step), to=TensorProto.FLOAT)
        own = node("Cast", "own", node("Range", "new", first, length, step), to=TensorProto.FLOAT)
        column = graph.constant(f"{name}.column", [1])
        distance = node("Sub", "distance", node("Unsqueeze", "rows", own, column), places)
        ends = [graph.constant(f"{name}.end{i}", torch.tensor(end)) for i, end in enumerate((-0.5, self.window - 0.5))]
        band = node("And", "band", node("Greater", "past", distance, ends[0]), node("Less", "near", distance, ends[1]))
        both = node(
            "And", "both", band, node("Greater", "was", known, graph.constant(f"{name}.half", torch.tensor(0.5)))
        )
        zero, unseen = (graph.constant(f"{name}.score{i}", torch.tensor(v)) for i, v in enumerate((0.0, UNSEEN)))
        seen = node("Where", "seen", both, zero, unseen)
        frequencies = ROTARY_BASE ** -(torch.arange(0, self.head, 2) / self.head)
        angles = graph.constant(f"{name}.frequencies", torch.cat([frequencies, frequencies]))
        turns = []
        for part, of in (("keys", places), ("queries", own)):
            angle = node("Mul", f"{part}.angle", node("Unsqueeze", f"{part}.column", of, column), angles)
            turns.append([node("Cos", f"{part}.cosine", angle), node("Sin", f"{part}.sine", angle)])
        return seen, (turns[0], turns[1])

    def _layer_onnx(
        self,
        graph: Graph,
        chain: str,
        number: int,
        layer: Layer,
        inputs: tuple[str, str],
        turn: tuple[list[str], list[str]],
    ) -> str:
        """One layer, `[batch, 1, time, channels]` to the same."""
        (x, seen), name = inputs, f"{chain}.{number}"
        y = matrix_onnx(graph, layer.qkv, f"{name}.qkv", graph.layer_norm(layer.norm1, f"{name}.norm1", x))
        heads = graph.constant(f"{name}.heads", [0, -1, 3, self.heads, self.head])
        parts = graph.node("Reshape", [y, heads], f"{name}.parts")
        parts = graph.node("Transpose", [parts], f"{name}.by_part", perm=(2, 0, 3, 1, 4))
        queries, keys, values = (
            graph.node("Gather", [parts, place_onnx(graph, f"{name}.part{i}", i)], f"{name}.of{i}") for i in range(3)
        )
        keys, values = (
            self._cached_onnx(graph, f"{chain}.{part}{number}", fresh)
            for part, fresh in zip(CACHED, (keys, values), strict=True)
        )
        keys = turned_onnx(graph, f"{name}.keys", keys, turn[0], self.head)
        queries = turned_onnx(graph, f"{name}.queries", queries, turn[1], self.head)
        keys = graph.node("Transpose", [keys], f"{name}.across", perm=(0, 1, 3, 2))
        scale = graph.constant(f"{name}.size", torch.tensor(1 / math.sqrt(self.head)))
        scores = graph.node("Mul", [graph.node("MatMul", [queries, keys], f"{name}.near"), scale], f"{name}.scores")
        shares = graph.node("Softmax", [graph.node("Add", [scores, seen], f"{name}.masked")], f"{name}.shares", axis=-1)
        heard = graph.node("MatMul", [shares, values], f"{name}.heard")
        heard = graph.node("Transpose", [heard], f"{name}.joining", perm=(0, 2, 1, 3))
        flat = graph.constant(f"{name}.flat", [0, 1, -1, self.channels])
        heard = matrix_onnx(graph, layer.out, f"{name}.out", graph.node("Reshape", [heard, flat], f"{name}.joined"))
        heard = graph.node("Mul", [heard, graph.constant(f"{name}.scale1", layer.scale1)], f"{name}.scaled1")
        return layer.mixed_onnx(graph, name, graph.node("Add", [x, heard], f"{name}.attended"))

    def _cached_onnx(self, graph: Graph, state: str, fresh: str) -> str:
        """`[batch, heads, time, head]` behind what is kept of those before."""
        graph.state(state, self.channels, self.window - 1)
        split = graph.constant(f"{state}.split", [0, self.heads, self.head, self.window - 1])
        past = graph.node("Reshape", [state, split], f"{state}.by_head")
        past = graph.node("Transpose", [past], f"{state}.past", perm=(0, 1, 3, 2))
        whole = graph.node("Concat", [past, fresh], f"{state}.whole", axis=2)
        kept = graph.slice(whole, f"{state}.kept", start=-(self.window - 1), end=LAST, axis=2)
        kept = graph.node("Transpose", [kept], f"{state}.turned", perm=(0, 1, 3, 2))
        join = graph.constant(f"{state}.join", [0, self.channels, 1, self.window - 1])
        graph.node("Reshape", [kept, join], f"{state}.next")
        return whole


class Layer(nn.Module):
    """What a transformer layer learns; its branches are scaled by channel, and start small."""

    def __init__(self, channels: int, feedforward: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels, bias=False)
        self.expand = nn.Linear(channels, feedforward, bias=False)
        self.shrink = nn.Linear(feedforward, channels, bias=False)
        self.scale1, self.scale2 = (nn.Parameter(torch.full((channels,), START_SCALE)) for _ in range(2))
        for linear in (self.qkv, self.out, self.expand, self.shrink):
            nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features))

    def mixed(self, x: Tensor) -> Tensor:
        """The feed-forward half."""
        return x + self.scale2 * self.shrink(functional.gelu(self.expand(self.norm2(x))))

    def mixed_onnx(self, graph: Graph, name: str, x: str) -> str:
        """The same in a graph."""
        y = matrix_onnx(graph, self.expand, f"{name}.expand", graph.layer_norm(self.norm2, f"{name}.norm2", x))
        y = matrix_onnx(graph, self.shrink, f"{name}.shrink", graph.node("Gelu", [y], f"{name}.gelu"))
        y = graph.node("Mul", [y, graph.constant(f"{name}.scale2", self.scale2)], f"{name}.scaled2")
        return graph.node("Add", [x, y], f"{name}.mixed")
