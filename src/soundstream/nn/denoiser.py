"""The denoiser of the spectral family: a network that says how much of each MDCT coefficient is sound and not noise.

    features -> magnitudes beside them -> linear -> ConvNeXt blocks -> linear -> sigmoid: the mask

FiLM alone, behind the encoder's blocks, can only choose among channels that the blocks keep apart. Here the mask
follows from the sound, and the condition says how far it counts: with the denoise switch off the codec computes what it would
without. Levels and roots come from the masked coefficients, so that the encoder is never shown what no sound has: where
a denoiser could change features at will, the decoder of `base` burst on what the switch had made of tones.

Source: ours. Related: RNNoise (Valin, 2018), gains of bands that a network finds, where these are of coefficients.
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

OPEN = 4.0
"""Fresh bias before the sigmoid: a fresh mask takes 0.16 dB."""


class Magnitudes(StreamingModule):
    """Features `[batch, bands + coefficients, 1, frames]` with the magnitudes of the coefficients behind them."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = bands

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.cat([x, x[:, self.bands :].abs()], dim=1), state


class Sigmoid(StreamingModule):
    """Any numbers to 0 to 1."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x.sigmoid(), state


def denoiser(config: SpectralConfig) -> Chain:
    """Features `[batch, bands + coefficients, 1, frames]` to a mask `[batch, coefficients, 1, frames]`, 0 to 1."""
    width = config.denoiser_width
    first = CausalConv(config.features + config.hop_length, width, kernel=1)
    first.weight.data[:, : config.bands] *= LEVEL_GAIN
    first.weight.data[:, config.bands :] *= 2 * ENCODER_GAIN
    first.int8 = False
    out = CausalConv(width, config.hop_length, kernel=1, scale=0.0)
    out.bias.data.fill_(OPEN)
    return Chain(
        magnitudes=Magnitudes(config.bands),
        first=first,
        **blocks(config.denoiser_blocks, width, config.denoiser_kernel),
        out=out,
        mask=Sigmoid(),
    )


def masked(
    coefficients: Float[Tensor, "batch coefficients 1 frames"],
    mask: Float[Tensor, "batch coefficients 1 frames"],
    strength: Float[Tensor, "batch 1 1 frames"],
) -> Float[Tensor, "batch coefficients 1 frames"]:
    """Coefficients of the sound without its noise, `strength` of the way there."""
    return coefficients * (1 + strength * (mask - 1))
