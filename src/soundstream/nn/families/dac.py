"""DAC's models: Snakes, dilated residual units and factorised codebooks, at 16, 24 and 44.1 kHz.

    encoder: conv k7 -> 4 x [3 residual units, Snake, strided conv, channels x 2] -> Snake -> conv k3 to latent_dim
    decoder: conv k7 -> 4 x [Snake, upsampling conv, channels / 2, 3 residual units] -> Snake -> conv k7 -> tanh

All convolutions see as much of the future as of the past, and zeros beyond the ends of a signal. A frame's latents
depend on 8 frames to either side and decoded sound on 10 (`Config.context_frames`): streams take chunks with so much
context, which give what the whole gives. Channels are coded each by itself.

Of an odd stride the upsampling gives a sample too few. So that models of 16 and 24 kHz give 8 samples less than their
frames have: zeros stand for these, the last of a signal that ends with a whole frame.

Artifacts keep the weights as float32, so that codes are those of the original.

Source: DAC (Kumar et al., 2023), section 3. The weights that its authors published under the MIT licence become a model
by `convert`; fresh networks are trained as those of other families.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from soundstream.limits import Whole
from soundstream.nn.config import FamilyConfig, QuantizerForm
from soundstream.nn.layers.dilated import (
    KERNEL,
    OUTPUT_SCALE,
    REACH,
    SCALE,
    Tanh,
    residual_units,
    seen_by_decoder,
    seen_by_encoder,
)
from soundstream.nn.layers.padded import PaddedConv, PaddedEnd, PaddedUpsample
from soundstream.nn.layers.snake import Snake
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.streaming import Chain, StreamingModule
from soundstream.nn.weights import Weights, fill_conv, fill_factored, fill_snake, fill_upsample
from soundstream.spec import CodecSpec

LAST_KERNEL = 3
"""Of the encoder's last convolution."""


@dataclass(frozen=True)
class Config(FamilyConfig):
    """DAC's settings; the defaults are those of the published 44.1 kHz model."""

    EXACT: ClassVar[bool] = True

    sample_rate: Annotated[int, Whole(8_000, 192_000)] = 44_100
    """Hz at which the networks run."""
    latent_dim: Annotated[int, Whole(1, 4096)] = 1024
    """Channels of the latents."""
    num_quantizers: Annotated[int, Whole(1, 128)] = 9
    """Codebooks that exist; fewer may be used."""
    codebook_dim: Annotated[int, Whole(1, 4096)] = 8
    """Numbers of a codebook entry, which is compared by its direction."""
    encoder_channels: Annotated[int, Whole(1, 1024)] = 64
    """Channels after the encoder's first convolution; they double with each block."""
    decoder_channels: Annotated[int, Whole(1, 8192)] = 1536
    """Channels after the decoder's first convolution; they halve with each block."""
    strides: Annotated[tuple[int, ...], Whole(1, 64)] = (2, 4, 8, 8)
    """Down-sampling factor of each encoder block; the decoder mirrors them."""

    @property
    def hop_length(self) -> int:
        return math.prod(self.strides)

    @property
    def quantizer(self) -> QuantizerForm:
        return QuantizerForm(width=self.codebook_dim, cosine=True)

    @property
    def missing_samples(self) -> int:
        """Samples that the upsampling layers give less than their frames have."""
        missing = 0
        for stride in reversed(self.strides):
            missing = missing * stride + stride % 2
        return missing

    @property
    def context_frames(self) -> int:
        """Frames to either side of one that its latents, or its decoded sound, depend on."""
        return max(seen_by_encoder(self.strides, LAST_KERNEL // 2), seen_by_decoder(self.strides, REACH))

    def spec(self) -> CodecSpec:
        return dataclasses.replace(super().spec(), context_frames=self.context_frames)


def build(config: Config) -> SoundStream:
    """Fresh networks."""
    return SoundStream(config, Networks(encoder(config), decoder(config)))


def encoder(config: Config) -> Chain:
    """Audio `[batch, 1, 1, samples]`, of whole hops, to latents `[batch, latent_dim, 1, frames]`."""
    channels = config.encoder_channels
    layers: dict[str, StreamingModule] = {"first": PaddedConv(1, channels, KERNEL)}
    for i, stride in enumerate(config.strides):
        down = PaddedConv(channels, 2 * channels, 2 * stride, stride, scale=SCALE)
        layers[f"block{i}"] = Chain(**residual_units(channels), snake=Snake(channels), down=down)
        channels *= 2
    last = PaddedConv(channels, config.latent_dim, LAST_KERNEL, scale=SCALE)
    return Chain(**layers, snake=Snake(channels), last=last)


def decoder(config: Config) -> Chain:
    """Latents `[batch, latent_dim, 1, frames]` to audio `[batch, 1, 1, samples]` of so many hops."""
    channels = config.decoder_channels
    layers: dict[str, StreamingModule] = {"first": PaddedConv(config.latent_dim, channels, KERNEL)}
    for i, stride in enumerate(reversed(config.strides)):
        up = PaddedUpsample(channels, channels // 2, stride, scale=SCALE)
        layers[f"block{i}"] = Chain(snake=Snake(channels), up=up, **residual_units(channels // 2))
        channels //= 2
    last = PaddedConv(channels, 1, KERNEL, scale=OUTPUT_SCALE)
    return Chain(**layers, snake=Snake(channels), last=last, tanh=Tanh(), end=PaddedEnd(config.missing_samples))


VARIANTS = {
    "16khz": Config(sample_rate=16_000, num_quantizers=12, strides=(2, 4, 5, 8)),
    "24khz": Config(sample_rate=24_000, num_quantizers=32, strides=(2, 4, 5, 8)),
    "44khz": Config(),
    "44khz_16kbps": Config(latent_dim=128, num_quantizers=18),
}
"""Settings of the published models, by their names."""
CARD = """\
DAC of Kumar, Seetharaman, Luebs, Kumar and Kumar, *High-Fidelity Audio Compression with Improved RVQGAN*, 2023
(arXiv:2306.06546). Code and weights are published by descriptinc/descript-audio-codec under the MIT licence (Copyright
(c) 2023-present, Descript), which holds for this folder too. None of them comes with this package.
"""
"""What the card of an imported model says of where it comes from, and of its licence."""


def convert(tensors: dict[str, Tensor], config: Config) -> SoundStream:
    """The model of published weights.

    Args:
        tensors: by the names of the authors' files, or of `transformers`.
        config: the settings they were trained with, one of `VARIANTS`.
    Raises:
        ArtifactError: a tensor is missing, has another shape, or is of no use.
    """
    weights, model = Weights(tensors, [*names(config)]), build(config)
    fill_networks(model, weights)
    fill_factored(model.quantizer, weights, "quantizer.quantizers")
    weights.finish()
    return model.eval()


def fill_networks(model: SoundStream, weights: Weights) -> None:
    """All layers of DAC's in the encoder and the decoder of a model, which `names` calls as they are called there."""
    for side in ("encoder", "decoder"):
        for name, layer in model.get_submodule(side).named_modules(prefix=side):
            if isinstance(layer, Snake):
                fill_snake(layer, weights, name)
            elif isinstance(layer, PaddedConv):
                fill_conv(layer, weights, name)
            elif isinstance(layer, PaddedUpsample):
                fill_upsample(layer.conv, layer.stride, weights, name)


def names(config: Config) -> Iterator[tuple[str, str]]:
    """Parts of names in files of `transformers` and of the authors, and what they are called here."""
    yield from ((f".parametrizations.weight.original{i}", f".weight_{kind}") for i, kind in enumerate("gv"))
    for i in range(len(config.strides)):
        yield from _names_of_block(f"encoder.block{i}", f"encoder.block.{i}", f"encoder.block.{i + 1}.block", _DOWN)
        yield from _names_of_block(f"decoder.block{i}", f"decoder.block.{i}", f"decoder.model.{i + 1}.block", _UP)
    for side, layers in (("encoder", "block"), ("decoder", "model")):
        for place, (ours, theirs) in zip((0, 1, 2), _ENDS.items(), strict=True):
            yield f"{side}.{theirs}.", f"{side}.{ours}."
            yield f"{side}.{layers}.{place and place + len(config.strides)}.", f"{side}.{ours}."


_ENDS = {"first": "conv1", "snake": "snake1", "last": "conv2"}
"""Layers of a network besides blocks, here and in `transformers`."""
_DOWN = {"unit0": "res_unit1", "unit1": "res_unit2", "unit2": "res_unit3", "snake": "snake1", "down": "conv1"}
"""Layers of a block in turn, likewise; the authors count them."""
_UP = {"snake": "snake1", "up": "conv_t1", "unit0": "res_unit1", "unit1": "res_unit2", "unit2": "res_unit3"}
_UNIT = {"snake0": "snake1", "conv0": "conv1", "snake1": "snake2", "conv1": "conv2"}


def _names_of_block(here: str, theirs: str, counted: str, layers: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Those of a block, which is called `theirs` in `transformers` and `counted` by the authors."""
    for i, (ours, name) in enumerate(layers.items()):
        if ours.startswith("unit"):
            for j, (part, unit) in enumerate(_UNIT.items()):
                yield f"{theirs}.{name}.{unit}.", f"{here}.{ours}.branch.{part}."
                yield f"{counted}.{i}.block.{j}.", f"{here}.{ours}.branch.{part}."
        else:
            yield f"{theirs}.{name}.", f"{here}.{ours}."
            yield f"{counted}.{i}.", f"{here}.{ours}."
