"""Layers that see a whole segment at once: as much of the future as of the past, and the loudness of all of it.

    CentredConv        reflect both ends, convolve, normalize
    CentredUpsample    transposed convolution, normalize, trim both ends

They keep no state: what is not the same segment has no influence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from soundstream.nn.graph import LAST, Graph
from soundstream.nn.layers.conv import CausalConv, interleaved, interleaved_onnx
from soundstream.nn.streaming import State, StreamingModule


class CentredConv(CausalConv):
    """Convolution of a segment, then group norm: `[batch, in, 1, time]` becomes `[batch, out, 1, ceil(time / stride)]`.

    Both ends are reflected, of an odd number of samples one more before than behind, and as much behind as completes
    the last output. A segment that is shorter than what is reflected has zeros behind it.

    Source: EnCodec (Défossez et al., 2022, section 3.1), whose 48 kHz model has these layers.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, scale: float = 1.0) -> None:
        super().__init__(in_channels, out_channels, kernel, stride)
        self.norm = group_norm(out_channels, scale)

    @property
    def before(self) -> int:
        """Samples of the reflection before the first one."""
        return self.left_samples - self.behind

    @property
    def behind(self) -> int:
        """Samples of the reflection behind the last one, of a whole number of strides."""
        return self.left_samples // 2

    def init_state(self, batch: int) -> State:
        return {}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        time = x.shape[-1]
        behind = self.behind + -time % self.stride
        missing = max(0, max(self.before, behind) + 1 - time)
        padded = functional.pad(functional.pad(x, (0, missing)), (self.before, behind, 0, 0), mode="reflect")
        return self.norm(self.product(padded[..., : padded.shape[-1] - missing])), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        if self.left_samples:
            x = self._padded_onnx(graph, name, x)
        return normalized_onnx(graph, self.norm, name, self.product_onnx(graph, f"{name}.product", x))

    def _padded_onnx(self, graph: Graph, name: str, x: str) -> str:
        """The segment between its reflections.

        Behind it are always as many samples as it may need, which are too few for another output: so lengths are known
        before a graph runs.
        """
        behind = self.behind + self.stride - 1
        time, source = self._sources_onnx(graph, name, x, behind)
        inside = graph.node("Less", [source, time], f"{name}.inside")
        last = graph.node("Sub", [time, graph.constant(f"{name}.one", [1])], f"{name}.last")
        place = graph.node("Max", [graph.node("Min", [source, last], f"{name}.low"), f"{name}.none"], f"{name}.place")
        values = graph.node("Gather", [x, place], f"{name}.values", axis=3)
        zero = graph.constant(f"{name}.silence", torch.tensor(0.0))
        ends = graph.node("Where", [inside, values, zero], f"{name}.ends")
        before = graph.slice(ends, f"{name}.before", start=0, end=self.before, axis=3)
        after = graph.slice(ends, f"{name}.behind", start=self.before, end=LAST, axis=3)
        return graph.node("Concat", [before, x, after], f"{name}.padded", axis=3)

    def _sources_onnx(self, graph: Graph, name: str, x: str, behind: int) -> tuple[str, str]:
        """Samples of the segment, and which of them stand before it and behind; past its end are zeros.

        Sample -i is x[i], and sample `time + j` is x[time - 2 - j], or of a segment with `missing` zeros behind it
        x[time + 2 missing - 2 - j].
        """

        def node(kind: str, part: str, *inputs: str) -> str:
            return graph.node(kind, list(inputs), f"{name}.{part}")

        def number(part: str, *values: int) -> str:
            return graph.constant(f"{name}.{part}", list(values))

        time = graph.node("Shape", [x], f"{name}.time", start=3)
        rest = node("Mod", "rest", node("Neg", "negative", time), number("stride", self.stride))
        most = node(
            "Max", "most", node("Add", "needed", rest, number("half", self.behind)), number("left", self.before)
        )
        lack = node("Sub", "lack", node("Add", "least", most, number("next", 1)), time)
        missing = node("Mul", "missing", node("Max", "short", lack, number("none", 0)), number("two", 2))
        end = node("Sub", "mirror", node("Add", "filled", time, missing), number("ends_at", 2))
        moved = node("Mul", "moved", end, number("which", *[0] * self.before, *[1] * behind))
        counted = number("counted", *range(self.before, 0, -1), *range(0, -behind, -1))
        return time, node("Add", "source", moved, counted)


class CentredUpsample(StreamingModule):
    """Transposed convolution of a segment with kernel 2 x stride, then group norm, then what overhangs is trimmed.

    `[batch, in_channels, 1, time]` becomes `[batch, out_channels, 1, time * stride]`. It is a plain convolution of
    kernel 2, as `CausalUpsample` is one; of an odd stride one sample more is trimmed before than behind.

    Source: EnCodec (Défossez et al., 2022, section 3.1), whose 48 kHz model has these layers.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = CausalConv(in_channels, out_channels * stride, kernel=2)
        self.norm = group_norm(out_channels)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y = self.norm(interleaved(self.conv.product(functional.pad(x, (1, 1))), self.stride))
        return y[..., self.stride - self.stride // 2 : y.shape[-1] - self.stride // 2], state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        ends = graph.constant(f"{name}.ends", [0, 0, 0, 1, 0, 0, 0, 1])
        y = self.conv.product_onnx(graph, f"{name}.product", graph.node("Pad", [x, ends], f"{name}.padded"))
        y = interleaved_onnx(graph, name, y, len(self.conv.weight), self.stride)
        y = normalized_onnx(graph, self.norm, f"{name}.whole", y)
        overhang = self.stride // 2
        return graph.slice(y, name, start=self.stride - overhang, end=-overhang or LAST, axis=3)


def group_norm(channels: int, scale: float = 1.0) -> nn.GroupNorm:
    """Over all channels and the whole segment at once; what comes out has `scale` squared as its variance."""
    norm = nn.GroupNorm(1, channels)
    nn.init.constant_(norm.weight, scale)
    return norm


def normalized_onnx(graph: Graph, norm: nn.GroupNorm, name: str, x: str) -> str:
    """Group norm in a graph: statistics, and then a factor and an offset a channel in one pass, which is batch norm.

    Signals side by side are channels to that. Means over time come before those over channels: long sums of float32
    lose digits.
    """

    def node(kind: str, part: str, *inputs: str) -> str:
        return graph.node(kind, list(inputs), f"{name}.{part}")

    def numbers(part: str, *values: int) -> str:
        return graph.constant(f"{name}.{part}", list(values))

    over_time, over_channels, everything = numbers("over_time", 2), numbers("over_channels", 1), numbers("every", -1)

    def mean(part: str, y: str) -> str:
        of_channels = node("ReduceMean", f"{part}_of_channels", y, over_time)
        return node("Squeeze", f"{part}_column", node("ReduceMean", part, of_channels, over_channels), over_time)

    weight, bias = (graph.constant(f"{name}.norm.{key}", getattr(norm, key)[None]) for key in ("weight", "bias"))
    flat = node("Squeeze", "flat", x, over_time)
    centre, power = mean("mean", flat), mean("power", node("Mul", "square", flat, flat))
    variance = node("Relu", "variance", node("Sub", "spread", power, node("Mul", "mean_square", centre, centre)))
    positive = node("Add", "positive", variance, graph.constant(f"{name}.eps", torch.tensor(norm.eps)))
    factor = node("Div", "factor", weight, node("Sqrt", "deviation", positive))
    offset = node("Sub", "offset", bias, node("Mul", "shift", centre, factor))
    factors, offsets = (node("Reshape", f"{y}_flat", y, everything) for y in (factor, offset))
    zeros = node("Sub", "zeros", factors, factors)
    ones = node("Add", "ones", zeros, graph.constant(f"{name}.unit", torch.tensor(1.0)))
    rows = node("Reshape", "rows", flat, numbers("side_by_side", 1, -1, 0))
    y = graph.node(
        "BatchNormalization", [rows, factors, offsets, zeros, ones], f"{name}.normalized", epsilon=0.0, training_mode=0
    )
    y = node("Reshape", "signals", y, numbers("shape", -1, norm.num_channels, 0))
    return graph.node("Unsqueeze", [y, over_time], name)
