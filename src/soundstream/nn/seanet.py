"""Causal SEANet encoder and decoder.

    encoder: conv k7 -> 4 x [3 residual units, strided conv, channels x 2] -> conv k3 to latent_dim
    decoder: conv k7 -> 4 x [upsampling conv, channels / 2, 3 residual units] -> conv k7 to one channel

Source: SoundStream (Zeghidour et al., 2021), section III-A and III-B, Fig. 3. Residual units have half the width
between their two convolutions, which reproduces the parameter counts of Table I; the paper does not spell it out.
"""

from __future__ import annotations

from torch import Tensor

from soundstream.config import SeanetConfig
from soundstream.nn.conv import CausalConv, CausalUpsample, Elu
from soundstream.nn.streaming import Chain, State, StreamingModule

RESIDUAL_SCALE = 0.3
"""Weight of a fresh residual branch: the sum of many branches keeps its variance."""
OUTPUT_SCALE = 0.1
"""Weight of the fresh last convolution: the first outputs are quiet."""


class ResidualUnit(StreamingModule):
    """x + conv1(elu(conv7(elu(x)))), the inner convolution dilated."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.branch = Chain(
            elu0=Elu(),
            conv0=CausalConv(channels, channels // 2, kernel=7, dilation=dilation),
            elu1=Elu(),
            conv1=CausalConv(channels // 2, channels, kernel=1, scale=RESIDUAL_SCALE),
        )

    def init_state(self, batch: int) -> State:
        return self.branch.init_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.branch.step(x, state)
        return x + y, state


def _units(channels: int, dilations: tuple[int, ...]) -> dict[str, StreamingModule]:
    return {f"unit{i}": ResidualUnit(channels, dilation) for i, dilation in enumerate(dilations)}


def encoder(config: SeanetConfig) -> Chain:
    """Audio `[batch, 1, 1, samples]` to latents `[batch, latent_dim, 1, frames]`."""
    channels = config.encoder_channels
    layers: dict[str, StreamingModule] = {"first": CausalConv(1, channels, kernel=7)}
    for i, stride in enumerate(config.strides):
        down = CausalConv(channels, 2 * channels, kernel=2 * stride, stride=stride)
        layers[f"block{i}"] = Chain(**_units(channels, config.dilations), elu=Elu(), down=down)
        channels *= 2
    return Chain(**layers, elu=Elu(), last=CausalConv(channels, config.latent_dim, kernel=3))


def decoder(config: SeanetConfig) -> Chain:
    """Latents `[batch, latent_dim, 1, frames]` to audio `[batch, 1, 1, samples]`."""
    channels = config.decoder_channels * 2 ** len(config.strides)
    layers: dict[str, StreamingModule] = {"first": CausalConv(config.latent_dim, channels, kernel=7)}
    for i, stride in enumerate(reversed(config.strides)):
        up = CausalUpsample(channels, channels // 2, stride)
        channels //= 2
        layers[f"block{i}"] = Chain(elu=Elu(), up=up, **_units(channels, config.dilations))
    return Chain(**layers, elu=Elu(), last=CausalConv(channels, 1, kernel=7, scale=OUTPUT_SCALE))
