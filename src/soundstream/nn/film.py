"""The switch inside the codec: a condition scales and shifts each channel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from soundstream.nn.graph import Graph


class FiLM(nn.Module):
    """Feature-wise linear modulation: gamma * latents + beta, both linear in the condition.

    It starts as the identity. The condition may change from frame to frame.

    Source: SoundStream (Zeghidour et al., 2021), section III-F, at the encoder's bottleneck.
    """

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, condition_dim))
        self.beta = nn.Parameter(torch.zeros(channels, condition_dim))

    def forward(
        self,
        x: Float[Tensor, "batch channels 1 frames"],
        condition: Float[Tensor, "batch condition 1 frames"],
    ) -> Float[Tensor, "batch channels 1 frames"]:
        gamma = functional.conv2d(condition, self.gamma[..., None, None])
        beta = functional.conv2d(condition, self.beta[..., None, None])
        return gamma * x + beta

    def onnx(self, graph: Graph, name: str, x: str, condition: str) -> str:
        """The same in a graph; `condition` is the name of a tensor."""
        for part, weight in ((f"{name}.gamma", self.gamma), (f"{name}.beta", self.beta)):
            graph.node("Conv", [condition, graph.constant(f"{part}.weight", weight[..., None, None])], part)
        graph.node("Mul", [x, f"{name}.gamma"], f"{name}.scaled")
        return graph.node("Add", [f"{name}.scaled", f"{name}.beta"], name)
