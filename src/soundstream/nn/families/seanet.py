"""Causal SEANet encoder and decoder.

    encoder: conv k7 -> 4 x [3 residual units, strided conv, channels x 2] -> conv k3 to latent_dim
    decoder: conv k7 -> 4 x [upsampling conv, channels / 2, 3 residual units] -> conv k7 to one channel

    with a trunk (ours; 0 blocks are the paper), at the frame rate and `trunk_width` channels wide:
    encoder: ... -> conv k3 to trunk_width -> ConvNeXt blocks -> linear to latent_dim
    decoder: conv k7 to trunk_width -> ConvNeXt blocks -> linear -> 4 x [...] ...

Blocks of a trunk start at zero. Learned from the first step on they keep a network from ever finding the waveform: a
run freezes them until it is followed (`trunk_from_step`).

Source: SoundStream (Zeghidour et al., 2021), section III-A and III-B, Fig. 3. Residual units have half the width
between their two convolutions, which reproduces the parameter counts of Table I; the paper does not spell it out.
Related to the trunk: Vocos (Siuzdak, 2023), all of whose layers are ConvNeXt blocks at the frame rate.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from soundstream.errors import ConfigError
from soundstream.limits import Whole
from soundstream.nn.config import FamilyConfig
from soundstream.nn.graph import Graph
from soundstream.nn.layers.conv import GAIN, CausalConv, CausalUpsample, Elu
from soundstream.nn.layers.convnext import blocks
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.streaming import Chain, State, StreamingModule

RESIDUAL_SCALE = 0.3
"""Weight of a fresh residual branch: the sum of many branches keeps its variance."""
OUTPUT_SCALE = 0.1
"""Weight of the fresh last convolution: the first outputs are quiet."""


@dataclass(frozen=True)
class Config(FamilyConfig):
    """A codec whose networks are SEANets, as published: convolutions from the full rate down, step by step."""

    GROWS: ClassVar[dict[str, tuple[str, ...]]] = {
        "width": ("trunk_width",),
        "blocks": ("encoder_trunk_blocks", "decoder_trunk_blocks"),
        "channels": ("encoder_channels", "decoder_channels"),
        "latent_dim": ("latent_dim",),
    }

    encoder_channels: Annotated[int, Whole(2, 1024)] = 16
    """Channels after the encoder's first convolution (C_enc); they double with each block."""
    decoder_channels: Annotated[int, Whole(2, 1024)] = 16
    """Channels before the decoder's last convolution (C_dec)."""
    strides: Annotated[tuple[int, ...], Whole(1, 64)] = (2, 4, 5, 8)
    """Down-sampling factor of each encoder block; the decoder mirrors them."""
    dilations: Annotated[tuple[int, ...], Whole(1, 64)] = (1, 3, 9)
    """Dilation of each residual unit in a block."""
    encoder_trunk_blocks: Annotated[int, Whole(0, 64)] = 0
    """ConvNeXt blocks at the frame rate between the encoder's last strided layer and the quantizer; 0 is the paper."""
    decoder_trunk_blocks: Annotated[int, Whole(0, 64)] = 0
    """The same between the quantizer and the decoder's first upsampling layer."""
    trunk_width: Annotated[int, Whole(1, 4096)] = 512
    """Channels of these blocks."""
    trunk_kernel: Annotated[int, Whole(1, 64)] = 7
    """Frames that their depthwise convolutions see."""

    @property
    def hop_length(self) -> int:
        return math.prod(self.strides)

    def before_growth(self, larger: FamilyConfig) -> FamilyConfig:
        has_trunk = self.encoder_trunk_blocks + self.decoder_trunk_blocks > 0
        if has_trunk or not isinstance(larger, Config):
            return self
        return dataclasses.replace(self, trunk_width=larger.trunk_width)


def build(config: Config) -> SoundStream:
    """Fresh networks."""
    return SoundStream(config, Networks(encoder(config), decoder(config)))


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

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return graph.node("Add", [x, self.branch.onnx(graph, name, x)], f"{name}.sum")


def _units(channels: int, dilations: tuple[int, ...]) -> dict[str, StreamingModule]:
    return {f"unit{i}": ResidualUnit(channels, dilation) for i, dilation in enumerate(dilations)}


def encoder(config: Config) -> Chain:
    """Audio `[batch, 1, 1, samples]` to latents `[batch, latent_dim, 1, frames]`."""
    channels = config.encoder_channels
    layers: dict[str, StreamingModule] = {"first": CausalConv(1, channels, kernel=7)}
    for i, stride in enumerate(config.strides):
        down = CausalConv(channels, 2 * channels, kernel=2 * stride, stride=stride)
        layers[f"block{i}"] = Chain(**_units(channels, config.dilations), elu=Elu(), down=down)
        channels *= 2
    layers["elu"] = Elu()
    if not config.encoder_trunk_blocks:
        return Chain(**layers, last=CausalConv(channels, config.latent_dim, kernel=3))
    return Chain(
        **layers,
        widen=CausalConv(channels, config.trunk_width, kernel=3),
        trunk=_trunk(config, config.encoder_trunk_blocks),
        last=CausalConv(config.trunk_width, config.latent_dim, kernel=1, scale=1 / GAIN),
    )


def decoder(config: Config) -> Chain:
    """Latents `[batch, latent_dim, 1, frames]` to audio `[batch, 1, 1, samples]`."""
    channels = config.decoder_channels * 2 ** len(config.strides)
    width = config.trunk_width if config.decoder_trunk_blocks else channels
    layers: dict[str, StreamingModule] = {"first": CausalConv(config.latent_dim, width, kernel=7)}
    if config.decoder_trunk_blocks:
        layers["trunk"] = _trunk(config, config.decoder_trunk_blocks)
        layers["narrow"] = CausalConv(width, channels, kernel=1, scale=1 / GAIN)
    for i, stride in enumerate(reversed(config.strides)):
        up = CausalUpsample(channels, channels // 2, stride)
        channels //= 2
        layers[f"block{i}"] = Chain(elu=Elu(), up=up, **_units(channels, config.dilations))
    return Chain(**layers, elu=Elu(), last=CausalConv(channels, 1, kernel=7, scale=OUTPUT_SCALE))


def _trunk(config: Config, count: int) -> Chain:
    """ConvNeXt blocks that pass their input on until they have learned something else."""
    return Chain(**blocks(count, config.trunk_width, config.trunk_kernel, scale=0.0))


def with_new_layers(tensors: dict[str, Tensor], old: Config, new: Config) -> dict[str, Tensor]:
    """Trunks on sides that have none; their channels beyond those that are needed are drawn."""
    sides = [side for side in ("encoder", "decoder") if not getattr(old, f"{side}_trunk_blocks")]
    blocks = {f"{side}_trunk_blocks": getattr(new, f"{side}_trunk_blocks") for side in sides}
    fresh = build(dataclasses.replace(old, **blocks)).state_dict()
    if blocks.get("encoder_trunk_blocks"):
        tensors = tensors | _split_layer(tensors, fresh, "encoder.last", ("encoder.widen", "encoder.last"))
    if blocks.get("decoder_trunk_blocks"):
        tensors = tensors | _split_layer(tensors, fresh, "decoder.first", ("decoder.first", "decoder.narrow"))
    return tensors


def _split_layer(
    tensors: dict[str, Tensor], fresh: dict[str, Tensor], layer: str, parts: tuple[str, str]
) -> dict[str, Tensor]:
    """A convolution as two: its own outputs among those of the first part, and the second, which chooses them."""
    weight, bias = tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]
    inner = {f"{parts[0]}.{key}": fresh[f"{parts[0]}.{key}"].clone() for key in ("weight", "bias")}
    width = len(inner[f"{parts[0]}.bias"])
    if width < len(bias):
        raise ConfigError(f"trunk_width is {width}; expected at least {len(bias)}, the channels that pass through it")
    inner[f"{parts[0]}.weight"][: len(bias)] = weight
    inner[f"{parts[0]}.bias"][: len(bias)] = bias
    chosen = torch.eye(len(bias), width)[..., None, None]
    return inner | {f"{parts[1]}.weight": chosen, f"{parts[1]}.bias": torch.zeros(len(bias))}
