"""The denoiser of the spectral family: a network that scales and shifts what the encoder's blocks are to see.

    features -> magnitudes beside them -> linear -> ConvNeXt blocks -> linear -> gain and shift of each feature

FiLM alone, behind the encoder's blocks, can only choose among channels that the blocks keep apart. Here gain and shift
follow from the sound, and the condition says how far they count: with the denoise switch off the codec computes what it
would without.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.config import SpectralConfig
from soundstream.nn.conv import CausalConv
from soundstream.nn.spectral import ENCODER_GAIN, LEVEL_GAIN, blocks
from soundstream.nn.streaming import Chain, State, StreamingModule


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
) -> Float[Tensor, "batch channels 1 frames"]:
    """x with gain tanh(a) + 1 and shift b, `strength` of the way there; modulation holds all a, then all b."""
    gain, shift = modulation.chunk(2, dim=1)
    return x + strength * (gain.tanh() * x + shift)
