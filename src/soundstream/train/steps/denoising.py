"""A run's last stage: the denoise switch alone, of a codec that is trained.

The codec hears the clean target with the switch off and the noisy input with the switch on, and the switch learns to
make the same latents of both. All else is frozen: with the switch off the codec stays what it was. The root of the mean
square counts, so that clean crops, of which little is to be taken away, pull as hard as noisy ones.

Source: ours; nothing is decoded, so that steps are cheap. SoundStream (Zeghidour et al., 2021, section III-F) trains
the switch along with the codec, which the stage `codec` does where `denoise_probability` is above 0.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.errors import ConfigError
from soundstream.nn.model import SoundStream
from soundstream.train.config import TrainConfig
from soundstream.train.data.crops import Batch, Crops
from soundstream.train.steps.capture import Figures
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import Precision
from soundstream.train.steps.schedule import Phase

_CLOSE = 0.1
"""Squared distance under which it hardly matters how close input and target are."""


class DenoiseLearner(Learner):
    """Trains the denoiser if there is one, else FiLM; see the module.

    Raises:
        ConfigError: the data never asks for the switch, or it is in the decoder.
    """

    def __init__(self, config: TrainConfig, crops: Crops, precision: Precision, graphs: bool = False) -> None:
        if not config.data.denoise_probability or config.codec.film != "encoder":
            raise ConfigError("stage denoise needs film = 'encoder' and denoise_probability above 0")
        super().__init__(config, crops, precision, graphs)

    def _new_model(self) -> SoundStream:
        model = super()._new_model().requires_grad_(False)
        (model.denoiser or model.film).requires_grad_(True)
        return model

    def _enter(self, draw: int, share: float) -> None:
        self.progress = self.schedule.entered(self.progress, share)

    def _phase(self) -> Phase:
        return Phase(measured=False)

    def _learn(self, phase: Phase) -> Figures:
        batch = Batch(self.inputs.audio, self.inputs.target, self.inputs.condition)
        with self.precision.autocast():
            loss = (distances(self.model.eval(), batch) + _CLOSE).sqrt().sum()
        norm = self._follow_gradient(loss)
        return {"latents": loss.detach() / len(batch.audio), "gradient_norm": norm}


def distances(model: SoundStream, batch: Batch, switch: bool = True) -> Float[Tensor, " batch"]:
    """Squared distance of the latents to those of the target, coded plainly: its mean over the frames of each example.

    Args:
        switch: follow the batch's condition, or leave the switch off.
    """
    with torch.no_grad():
        wanted = model.encode(batch.target)
    latents = model.encode(batch.audio, batch.condition if switch else None)
    return (latents.float() - wanted.float()).square().sum(1).mean(-1)


@torch.no_grad()
def noise_left_db(model: SoundStream, batch: Batch) -> float:
    """What the switch leaves of that distance, in dB; 0 is all of it."""
    off, on = (float(distances(model.eval(), batch, switch).sum()) for switch in (False, True))
    return round(10 * math.log10(max(on, 1e-9) / max(off, 1e-9)), 3)
