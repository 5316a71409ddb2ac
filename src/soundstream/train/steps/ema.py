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

    After each step every weight, codebook entry and figure of the latent normalizer becomes

        average = decay * average + (1 - decay) * value

    where a young average has a small decay, so that it forgets its start soon (`Schedule.average_decay`). Codebooks are
    averaged too: they have to fit the averaged encoder.
    """

    def __init__(self, model: SoundStream) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: SoundStream, decay: float) -> None:
        """Follow the model as it is now."""
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
