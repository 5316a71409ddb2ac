"""A run's last stage: the denoise switch alone, of a codec that is trained.

A denoiser learns the mask that makes the MDCT of the noisy input like that of the clean target; neither encoder nor
decoder computes anything, so that steps are cheap. Three views of the coefficients are compared, each relative to what
the target has, with exponents near those of loudness, and what is taken too much counts half as much again: signed
roots, as the encoder sees them; magnitudes over three coefficients and frames; bands a sixth of an octave wide.

FiLM, where there is no denoiser, learns from latents: the codec hears the clean target with the switch off and the
noisy input with the switch on, and shall make the same of both.

All else is frozen: with the switch off the codec stays what it was. Roots of the means count, so that clean crops, of
which little is to be taken away, pull as hard as noisy ones.

Source: ours. SoundStream (Zeghidour et al., 2021, section III-F) trains the switch along with the codec, which the
stage `codec` does where `denoise_probability` is above 0.
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

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
LOUDNESS = 0.15
"""Exponent of energies that are compared."""
MIN_TARGET = 2.0
"""What a distance is relative to at least: the size of a quiet target."""
MISSING = 1.5
"""Weight of a difference where sound is missing, and not left over."""
BAND_RATIO = 1.12
"""Of the end of a band of coefficients to its start; two coefficients at least."""
NEIGHBOURS = ((0.0625, 0.125, 0.0625), (0.125, 0.25, 0.125), (0.0625, 0.125, 0.0625))
"""Weights of the coefficients and frames around one whose magnitude is looked at."""
FLOOR = 1e-8
"""Energy that is added to those of coefficients, which are 1 at about full scale."""


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

    def _phase(self) -> Phase:
        return Phase(measured=False)

    def _learn(self, phase: Phase) -> Figures:
        batch = Batch(self.inputs.audio, self.inputs.target, self.inputs.condition)
        name = "spectra" if self.model.denoiser else "latents"
        with self.precision.autocast():
            loss = self.spectra(batch) if self.model.denoiser else (distances(self.model.eval(), batch) + _CLOSE).sqrt()
        norm = self._follow_gradient(loss.sum())
        return {name: loss.detach().mean(), "gradient_norm": norm}

    def spectra(self, batch: Batch) -> Float[Tensor, " batch"]:
        """How far the masked coefficients of each input are from those of its target."""
        cleaned = self.model.coefficients(batch.audio.unsqueeze(2), batch.condition)
        clean = self.model.coefficients(batch.target.unsqueeze(2), None)
        return spectral_distances(cleaned.float().squeeze(2), clean.float().squeeze(2))


def spectral_distances(
    cleaned: Float[Tensor, "batch coefficients frames"], clean: Float[Tensor, "batch coefficients frames"]
) -> Float[Tensor, " batch"]:
    """The sum of the three views' distances; see the module."""
    roots = _relative(_root(cleaned), _root(clean), missing=1.0)
    views = [_relative(view(cleaned.square()), view(clean.square())) for view in (_smooth, _bands)]
    return (roots + 0.1).sqrt() + sum(2 * (view + 0.02).sqrt() for view in views)


def _relative(found: Tensor, wanted: Tensor, missing: float = MISSING) -> Float[Tensor, " batch"]:
    difference = found - wanted
    weighed = torch.where(difference < 0, missing * difference, difference)
    return weighed.square().sum((1, 2)) / (wanted.square().sum((1, 2)) + MIN_TARGET)


def _root(x: Tensor) -> Tensor:
    return x.sign() * (x.abs() + 1e-5).sqrt()


def _smooth(energy: Tensor) -> Tensor:
    weights = torch.tensor(NEIGHBOURS, device=energy.device)[None, None]
    return (functional.conv2d(energy.unsqueeze(1), weights, padding=1).squeeze(1) + FLOOR) ** LOUDNESS


def _bands(energy: Tensor) -> Tensor:
    edges = [0]
    while edges[-1] < energy.shape[1]:
        edges.append(min(energy.shape[1], max(edges[-1] + 2, round(edges[-1] * BAND_RATIO))))
    means = [energy[:, a:b].mean(1) for a, b in itertools.pairwise(edges)]
    return (torch.stack(means, dim=1) + FLOOR) ** LOUDNESS


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
