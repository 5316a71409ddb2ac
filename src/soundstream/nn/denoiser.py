"""The denoiser of the spectral family: a network that scales and shifts what the encoder's blocks are to see.

    features -> magnitudes beside them -> linear -> ConvNeXt blocks -> linear -> gain and shift of each feature

FiLM alone, behind the encoder's blocks, can only choose among channels that the blocks keep apart. Here gain and shift
follow from the sound, and the condition says how far they count: with the denoise switch off the codec computes what it
would without. They only take away: no feature becomes larger than it was. A trained decoder may still not know the
latents of what is left: that of `base` bursts on some, so try tones and silence with the switch on before a release.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.config import SpectralConfig
from soundstream.nn.conv import CausalConv
from soundstream.nn.convnext import blocks
from soundstream.nn.families.spectral import ENCODER_GAIN, LEVEL_GAIN
from soundstream.nn.streaming import Chain, State, StreamingModule

DEEPEST = 1000.0
"""What a level may fall by at most, in logarithms: more than any sound has."""


class Magnitudes(StreamingModule):
    """Features `[batch, bands + coefficients, 1, frames]` with the magnitudes of the coefficients behind them."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = bands

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.cat([x, x[:, self.bands :].abs()], dim=1), state


def denoiser(config: SpectralConfig) -> Chain:
    """Features `[batch, bands + coefficients, 1, frames]` to modulation, `[batch, 2 * (bands + coefficients), ...]`.

    A fresh one changes nothing: its last layer is zero.
    """
    width, features = config.denoiser_width, config.features
    first = CausalConv(features + config.hop_length, width, kernel=1)
    first.weight.data[:, : config.bands] *= LEVEL_GAIN
    first.weight.data[:, config.bands :] *= 2 * ENCODER_GAIN
    first.int8 = False
    return Chain(
        magnitudes=Magnitudes(config.bands),
        first=first,
        **blocks(config.denoiser_blocks, width, config.denoiser_kernel),
        out=CausalConv(width, 2 * features, kernel=1, scale=0.0),
    )


def modulated(
    x: Float[Tensor, "batch channels 1 frames"],
    modulation: Float[Tensor, "batch modulations 1 frames"],
    strength: Float[Tensor, "batch 1 1 frames"],
    bands: int,
) -> Float[Tensor, "batch channels 1 frames"]:
    """x with gain tanh(a) + 1 and shift b, `strength` of the way there; modulation holds all a, then all b.

    The first `bands` channels, levels in logarithms, do not rise; of the others, signed roots, the magnitude does not.
    """
    gain, shift = modulation.chunk(2, dim=1)
    size = x.abs()
    lowest = torch.cat([x[:, :bands] - DEEPEST, -size[:, bands:]], dim=1)
    highest = torch.cat([x[:, :bands], size[:, bands:]], dim=1)
    cleaned = (x + gain.tanh() * x + shift).clamp(lowest, highest)
    return x + strength * (cleaned - x)
