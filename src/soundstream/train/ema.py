"""A moving average of the generator: steadier than the weights of any step; what validation and export use."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from soundstream.nn.model import SoundStream

FOLLOWED = ("quantizer.usage", "quantizer.sums")
"""Statistics that are not averaged: the copy has those of the newest step."""


class Average:
    """A float32 copy of a model that follows it.

    After each step t, every weight, codebook entry and figure of the latent normalizer becomes

        average = d * average + (1 - d) * value,    d = min(decay, (1 + t) / (10 + t))

    so that a young average forgets its start soon. Codebooks are averaged too: they have to fit the averaged encoder.
    """

    def __init__(self, model: SoundStream, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: SoundStream, step: int) -> None:
        """Follow the model as it is after `step` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine, other = self.model.state_dict(), model.state_dict()
        names = [name for name in mine if name not in FOLLOWED]
        torch._foreach_lerp_([mine[name] for name in names], [other[name] for name in names], 1 - decay)
        for name in FOLLOWED:
            mine[name].copy_(other[name])

    def restart(self, model: SoundStream) -> None:
        """Forget the past: the average is the model as it is now."""
        self.model.load_state_dict(model.state_dict())

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: all but what follows from the model."""
        return {name: value for name, value in self.model.state_dict().items() if name not in FOLLOWED}

    def load(self, state: dict[str, Tensor], model: SoundStream) -> None:
        """Inverse of `state`; an empty one means a fresh start from the model."""
        self.model.load_state_dict(model.state_dict() | state)
