"""Spectrograms as causal layers, and networks that see one at each of their rates beside their own features.

    wave ─┬─ conv ── + ── block ── + ── block ── + ── ...
          ├── spectrogram, hop 1 ──┘  │           │
          ├── spectrogram, hop s ─────┘           │
          └── ...  ───────────────────────────────┘

Source: HILCodec (Ahn et al., 2024), section III-C.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.nn.graph import Graph
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.mdct import fix
from soundstream.nn.streaming import Chain, State, without_autocast

LEAST_POWER = 1e-10
"""Square of the smallest magnitude; only graphs with weights as float32 can hold it."""


def stft_basis(length: int) -> Float[Tensor, "parts length"]:
    """Cosines, and below them negative sines, of frequencies 0 to half the rate under a periodic Hann window.

    `length` is even; there are `length + 2` rows.
    """
    n = torch.arange(length, dtype=torch.float64)
    angle = 2 * math.pi / length * (torch.arange(length // 2 + 1, dtype=torch.float64)[:, None] * n % length)
    window = torch.hann_window(length, dtype=torch.float64)
    return (torch.cat([angle.cos(), -angle.sin()]) * window).float()


class LogSpectrogram(CausalConv):
    """Logarithms of magnitudes, less their mean and by their deviation: frames of windows that end with a sample.

    `[batch, 1, 1, samples]` becomes `[batch, length / 2 + 1, 1, samples / hop]`. A frame's window ends with the first
    sample of its hop. The state is the rest of a window, `length - 1` samples.
    """

    def __init__(self, length: int, hop: int, mean: float, deviation: float) -> None:
        super().__init__(1, length + 2, kernel=length, stride=hop)
        fix(self, stft_basis(length)[:, None, None])
        self.mean, self.deviation = mean, deviation

    @property
    def left_samples(self) -> int:
        return self.weight.shape[-1] - 1

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        with without_autocast(x):
            parts, state = super().step(x.to(self.weight.dtype), state)
            real, imaginary = parts.square().chunk(2, dim=1)
            magnitude = (real + imaginary).clamp(min=LEAST_POWER).log() * 0.5
            return (magnitude - self.mean) / self.deviation, state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        joined = graph.join_left(f"{name}.left", 1, self.left_samples, x)
        parts = self.product_onnx(graph, f"{name}.parts", joined)
        squares, halves = graph.node("Mul", [parts, parts], f"{name}.squares"), [f"{name}.real", f"{name}.imaginary"]
        graph.node_of_many("Split", [squares], halves, axis=1, num_outputs=2)
        numbers = {"least": LEAST_POWER, "half": 0.5, "mean": self.mean, "deviation": self.deviation}
        of = {key: graph.constant(f"{name}.{key}", torch.tensor(value)) for key, value in numbers.items()}
        y = graph.node("Max", [graph.node("Add", halves, f"{name}.power"), of["least"]], f"{name}.floored")
        y = graph.node("Mul", [graph.node("Log", [y], f"{name}.log"), of["half"]], f"{name}.magnitude")
        return graph.node("Div", [graph.node("Sub", [y, of["mean"]], f"{name}.centred"), of["deviation"]], name)


class Beside(Chain):
    """Layers of a chain that see the input of the whole, and add to what the ones before them make of it."""


class SpectralChain(Chain):
    """Layers one after the other, but for those that are `Beside`: they see the waveform that all begins with."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        wave, new_state = x, State()
        for name, layer in self.layers():
            beside = isinstance(layer, Beside)
            y, part = self.step_layer(name, wave if beside else x, state)
            x = x + y if beside else y
            new_state |= part
        return x, new_state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        wave = x
        for part, layer in self.layers():
            place, beside = f"{name}.{part}".lstrip("."), isinstance(layer, Beside)
            y = layer.onnx(graph, place, wave if beside else x)
            x = graph.node("Add", [x, y], f"{place}.sum") if beside else y
        return x
