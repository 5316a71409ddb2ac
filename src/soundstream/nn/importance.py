"""How many codebooks a frame has, in training: as many as a map of importance says, at a level that is drawn.

A frame of importance p has codebook i, from 0 on, of n where p * level * n >= i. The step to a codebook has no slope,
so that gradients pass through a smooth one instead:

    step       0 below 0, 1 from there on
    smooth     log(cosh(a (x + 1/2)) / cosh(a (x - 1/2))) / 2a + 1/2

Source: VRVQ (Chae et al., 2024), section 3. Differs: which examples have all codebooks is drawn for each of them, with
the counts of constant rates, and not for a fixed part of a batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from soundstream.nn.graph import Graph
from soundstream.nn.streaming import State, StreamingModule
from soundstream.spec import Importance

SHARPNESS = 2.0
"""Of the smooth step (a)."""


class Use(NamedTuple):
    """What frames have of the codebooks, and what that is to cost."""

    mask: Float[Tensor, "batch num_quantizers frames"]
    """1 where a frame has a codebook, else 0; gradients pass as if the step were smooth."""
    rate: Float[Tensor, ""]
    """Sum over examples of the mean importance; examples that have all codebooks anyway count nothing."""


class Sigmoid(StreamingModule):
    """The logistic function: what a map of importance ends with."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x.sigmoid(), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return graph.node("Sigmoid", [x], name)


def drawn_use(
    importance: Float[Tensor, "batch 1 frames"],
    num_quantizers: Int[Tensor, " batch"],
    most: int,
    told: Importance,
) -> Use:
    """What frames have at levels drawn evenly from the codec's qualities, one for each example.

    Args:
        num_quantizers: an example of `most` has all codebooks in all frames, whatever its importance.
        most: codebooks that exist.
    """
    importance = importance.float()
    levels = told.lowest + (told.highest - told.lowest) * torch.rand(len(importance), 1, 1, device=importance.device)
    above = importance * levels * most - torch.arange(most, device=importance.device)[:, None]
    varies = (num_quantizers < most)[:, None, None]
    mask = torch.where(varies, stepped(above), torch.ones_like(above))
    return Use(mask, (importance * varies).mean(dim=(1, 2)).sum())


def stepped(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """0 below 0 and 1 from there on, with the gradient of the smooth step."""
    smooth = (_log_cosh(SHARPNESS * (x + 0.5)) - _log_cosh(SHARPNESS * (x - 0.5))) / (2 * SHARPNESS) + 0.5
    return smooth + ((x >= 0).to(smooth) - smooth).detach()


def _log_cosh(x: Tensor) -> Tensor:
    """log(2 cosh(x)), of any size."""
    return x.abs() + functional.softplus(-2 * x.abs())
