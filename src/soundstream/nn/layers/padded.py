"""Layers of a signal that is known to both its ends, with zeros before it and behind.

    PaddedConv         zeros, convolution, zeros:  stride 1 keeps the time, others divide it
    PaddedUpsample     transposed convolution, of which both ends are trimmed
    PaddedEnd          zeros behind the last sample

They keep no state, and see as much of the future as of the past: streams give them chunks with context (`CodecSpec`).

    convolution, kernel 3        0 | x0 x1 ... xn | 0        transposed, stride 2, kernel 4       . y0 y1 y2 y3 .
                                 └──┴──┘ y0                  each input gives four samples,       └──┴──┴──┘
                                                             of which two meet the next one's           └──┴──┴──┘

How much is padded and trimmed stands in weights of the graph whose names end in `graph_names.PADDING`: with zeros in
their place the same graph pads and trims nothing, as files of DAC's own program want it. What goes beside such layers
is then to be cut (`skipped_onnx`).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from soundstream.graph_names import PADDING, SKIPPED
from soundstream.nn.graph import LAST, Graph
from soundstream.nn.layers.conv import CausalConv, interleaved, interleaved_onnx
from soundstream.nn.streaming import State, StreamingModule


class PaddedConv(CausalConv):
    """Convolution with zeros at both ends: `[batch, in, 1, time]` becomes `[batch, out, 1, time / stride]`.

    A strided layer takes whole multiples of its stride. As many zeros stand before as behind; where kernel and stride
    leave an odd number of them, there is one more, which no output sees.

    Source: DAC (Kumar et al., 2023), section 3.1; depthwise (`groups`) SNAC (Siuzdak et al., 2024).
    """

    @property
    def padding(self) -> int:
        """Zeros at each end."""
        return -(-self.left_samples // 2)

    def init_state(self, batch: int) -> State:
        return {}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self.product(functional.pad(x, (self.padding, self.padding))), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return self.product_onnx(graph, name, _padded(graph, f"{name}.padded", x, self.padding, self.padding))


class PaddedUpsample(StreamingModule):
    """Transposed convolution with kernel 2 x stride, trimmed by half a stride, rounded up, at both ends.

    `[batch, in, 1, time]` becomes `[batch, out, 1, time * stride]`, of an odd stride less one sample, which
    `output_padding` brings back. It is a plain convolution of kernel 2, as `CausalUpsample` is one.

    Args:
        output_padding: samples that are trimmed less at the end.
        scale: as of `CausalConv`.

    Source: DAC (Kumar et al., 2023), section 3.1; with output padding SNAC (Siuzdak et al., 2024).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, output_padding: int = 0, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.stride = stride
        self.before = -(-stride // 2)
        self.behind = self.before - output_padding
        self.conv = CausalConv(in_channels, out_channels * stride, kernel=2, scale=scale)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y = interleaved(self.conv.product(functional.pad(x, (1, 1))), self.stride)
        return y[..., self.before : y.shape[-1] - self.behind], state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        ends = graph.constant(f"{name}.ends", [0, 0, 0, 1, 0, 0, 0, 1])
        y = self.conv.product_onnx(graph, f"{name}.product", graph.node("Pad", [x, ends], f"{name}.overhang"))
        y = interleaved_onnx(graph, name, y, len(self.conv.weight), self.stride)
        return _padded(graph, name, y, -self.before, -self.behind)


class PaddedEnd(StreamingModule):
    """Zeros behind a signal `[batch, channels, 1, time]`, where the layers before it give too few samples."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return functional.pad(x, (0, self.samples)), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return _padded(graph, name, x, 0, self.samples)


def skipped_onnx(graph: Graph, name: str, x: str, reach: int) -> str:
    """What goes beside layers that see so many samples to either side, whole: ONNX Runtime leaves the cut out.

    With other numbers in the place of its start and its end, it is as long as what passes the layers unpadded.
    """
    return graph.slice(x, f"{name}{SKIPPED}{reach}", start=0, end=LAST, axis=3)


def _padded(graph: Graph, name: str, x: str, before: int, behind: int) -> str:
    """A signal with zeros at its ends, or without samples of them where numbers are negative."""
    if not (before or behind):
        return x
    sizes = graph.constant(f"{name}{PADDING}", [0, 0, 0, before, 0, 0, 0, behind])
    return graph.node("Pad", [x, sizes], name)
