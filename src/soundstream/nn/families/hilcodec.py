"""HILCodec's networks: causal, residual units of constrained variance, a spectrogram at each rate of the encoder.

    encoder: conv k5 -> 4 x [+ spectrogram, 2 units, ELU, k1, strided depthwise conv, channels x 2] -> + spectrogram
             -> ELU -> depthwise conv k5 -> k1 -> frames of one length
    decoder: k1 -> depthwise conv k5 -> 4 x [ELU, depthwise upsampling, k1, channels / 2, 3 units] -> ELU -> conv k5
             -> tanh

    unit:    ELU -> k1 -> depthwise conv k5 -> ELU -> k1 -> depthwise conv k5

Artifacts keep the weights as float32, so that codes are those of the original.

Source: HILCodec (Ahn et al., 2024). The weights that its authors published become a model by `convert`. Fresh networks
train as those of other families: without weight normalization, and with our codebooks and losses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from soundstream.errors import ConfigError
from soundstream.limits import Whole
from soundstream.nn.config import FamilyConfig
from soundstream.nn.layers.conv import GAIN, CausalConv, CausalUpsample, Elu
from soundstream.nn.layers.dilated import Tanh
from soundstream.nn.layers.spectrogram import Beside, LogSpectrogram, SpectralChain
from soundstream.nn.layers.variance import ADDED, FrameNorm, LearnedScale, Residual, Scale, after
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.quantize import ResidualVectorQuantizer
from soundstream.nn.streaming import Chain, StreamingModule
from soundstream.nn.weights import Weights, fill_conv, fill_upsample

KERNEL = 5
LINEAR = 1 / GAIN
"""Weight of a fresh layer with no ELU before it."""
LOUDNESS = 0.1122080159
"""Deviation of the sound that the networks were made for: the encoder divides by it, the decoder multiplies."""
MEANS, DEVIATIONS = (-4.554, -4.315, -4.021, -3.726, -3.477), (2.830, 2.837, 2.817, 2.796, 2.871)
"""Of the logarithms of magnitudes in each spectrogram, as the authors found them."""


@dataclass(frozen=True)
class Config(FamilyConfig):
    """HILCodec's settings; the defaults are those of the published model of speech."""

    EXACT: ClassVar[bool] = True

    num_quantizers: Annotated[int, Whole(1, 128)] = 8
    """Codebooks that exist; fewer may be used."""
    encoder_channels: Annotated[int, Whole(1, 1024)] = 64
    """Channels after the encoder's first convolution; they double with each level."""
    decoder_channels: Annotated[int, Whole(1, 1024)] = 96
    """Channels before the decoder's last convolution."""
    encoder_units: Annotated[int, Whole(1, 16)] = 2
    """Residual units of a level."""
    decoder_units: Annotated[int, Whole(1, 16)] = 3
    strides: Annotated[tuple[int, ...], Whole(1, 64)] = (2, 4, 5, 8)
    """Down-sampling factor of each of the encoder's four levels; the decoder mirrors them."""
    window: Annotated[int, Whole(2, 4096)] = 64
    """Samples of the first spectrogram's window, an even number; it doubles with each level."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.strides) != len(MEANS) - 1:
            raise ConfigError(f"strides are {list(self.strides)}; expected {len(MEANS) - 1} of them")
        if self.window % 2:
            raise ConfigError(f"window is {self.window}; expected an even number of samples")
        if self.film != "encoder":
            raise ConfigError(f"film is {self.film}; expected encoder: behind it frames have one length")

    @property
    def hop_length(self) -> int:
        return math.prod(self.strides)


def build(config: Config) -> SoundStream:
    """Fresh networks."""
    return SoundStream(config, Networks(encoder(config), decoder(config)))


def unit(channels: int, before: int) -> Residual:
    """A residual unit, to whose input so many others have added."""
    layers: dict[str, StreamingModule] = {"before": after(before)} if before else {}
    for i in range(2):
        layers |= {f"elu{i}": Elu(), f"point{i}": CausalConv(channels, channels, kernel=1)}
        layers[f"depth{i}"] = depthwise(channels)
    return Residual(**layers, weight=LearnedScale(math.sqrt(ADDED)))


def depthwise(channels: int, kernel: int = KERNEL, stride: int = 1) -> CausalConv:
    """A convolution of each channel by itself, with no ELU before it."""
    return CausalConv(channels, channels, kernel, stride, groups=channels, scale=LINEAR)


def spectrum(config: Config, level: int, channels: int) -> Beside:
    """The spectrogram at the rate of a level, as so many channels."""
    length, hop = config.window * 2**level, math.prod(config.strides[:level])
    return Beside(
        spectrogram=LogSpectrogram(length, hop, MEANS[level], DEVIATIONS[level]),
        point=CausalConv(length // 2 + 1, channels, kernel=1, scale=LINEAR),
        weight=LearnedScale(math.sqrt(ADDED)),
    )


def encoder(config: Config) -> SpectralChain:
    """Audio `[batch, 1, 1, samples]`, of whole hops, to latents `[batch, latent_dim, 1, frames]`."""
    channels = config.encoder_channels
    layers: dict[str, StreamingModule] = {"loudness": Scale(1 / LOUDNESS)}
    layers["first"] = CausalConv(1, channels, KERNEL, scale=LINEAR)
    for i, stride in enumerate(config.strides):
        units = {f"unit{j}": unit(channels, before=j + 1) for j in range(config.encoder_units)}
        layers[f"spectrum{i}"] = spectrum(config, i, channels)
        point, down = CausalConv(channels, 2 * channels, kernel=1), depthwise(2 * channels, 2 * stride, stride)
        layers[f"block{i}"] = Chain(**units, scale=after(config.encoder_units), elu=Elu(), point=point, down=down)
        channels *= 2
    layers[f"spectrum{len(config.strides)}"] = spectrum(config, len(config.strides), channels)
    layers |= {"elu": Elu(), "depth": CausalConv(channels, channels, KERNEL, groups=channels)}
    last = CausalConv(channels, config.latent_dim, kernel=1, scale=LINEAR)
    nn.init.normal_(last.bias)  # silence has a direction too
    return SpectralChain(**layers, last=last, norm=FrameNorm(config.latent_dim))


def decoder(config: Config) -> Chain:
    """Latents `[batch, latent_dim, 1, frames]` to audio `[batch, 1, 1, samples]`."""
    channels, count = config.decoder_channels * 2 ** len(config.strides), config.decoder_units
    first = CausalConv(config.latent_dim, channels, kernel=1, scale=LINEAR)
    layers: dict[str, StreamingModule] = {"first": first, "depth": depthwise(channels)}
    for i, stride in enumerate(reversed(config.strides)):
        scale: dict[str, StreamingModule] = {"scale": after(count)} if i else {}
        up, point = CausalUpsample(channels, channels, stride, groups=channels), CausalConv(channels, channels // 2, 1)
        channels //= 2
        units = {f"unit{j}": unit(channels, before=j) for j in range(count)}
        layers[f"block{i}"] = Chain(**scale, elu=Elu(), up=up, point=point, **units)
    layers |= {"scale": after(count), "elu": Elu(), "last": CausalConv(channels, 1, KERNEL)}
    return Chain(**layers, loudness=Scale(LOUDNESS), tanh=Tanh())


VARIANTS = {"speech": Config(), "music": Config(num_quantizers=12)}
"""Settings of the published models, by their names."""
CARD = """\
HILCodec of Ahn, Woo, Han, Moon and Kim, *HILCodec: High-Fidelity and Lightweight Neural Audio Codec*, 2024
(arXiv:2405.04752). Code is published by aask1357/hilcodec under the MIT licence; of the weights, which its authors
give for download beside it, no licence says anything by itself. None of them comes with this package.
"""
"""What the card of an imported model says of where it comes from, and of its licence."""
WITHOUT_BIAS = re.compile(r"encoder\.depth|encoder\..*\.point|decoder\.first|.*\.point[01]")
"""Convolutions here that have a bias more than those of the authors."""
_UNIT = {"point0": ".block.1", "depth0": ".block.2", "point1": ".block.4", "depth1": ".block.5"}
_UNIT |= {"weight": ".res_scale_param"}
_SPECTRUM = {"spectrogram": ".spec", "point": ".layer", "weight": ".scale_param"}
_DOWN = {"point": ".2", "down": ".3"}
"""Parts of a unit, of what stands for a spectrogram, and of a level's end in the encoder, here and there."""


def convert(tensors: dict[str, Tensor], config: Config) -> SoundStream:
    """The model of published weights.

    Args:
        tensors: by the names of the authors' files.
        config: the settings they were trained with, one of `VARIANTS`.
    Raises:
        ArtifactError: a tensor is missing, has another shape, or is of no use.
    """
    weights, model = Weights(tensors), build(config)
    with torch.no_grad():
        for ours, theirs in places(config):
            _fill(model.get_submodule(ours), weights, theirs, bias=not WITHOUT_BIAS.fullmatch(ours))
        _fill_codebooks(model.quantizer, weights)
    weights.finish()
    return model.eval()


def places(config: Config) -> Iterator[tuple[str, str]]:
    """Layers with weights, here and in the authors' files."""
    yield from _places_in_encoder(config)
    yield from _places_in_decoder(config)


def _places_in_encoder(config: Config) -> Iterator[tuple[str, str]]:
    for part, theirs in (("first", "conv_pre.1"), ("depth", "conv_post.1"), ("last", "conv_post.2")):
        yield f"encoder.{part}", f"encoder.{theirs}"
    for i in range(len(config.strides)):
        yield from _parts(f"encoder.spectrum{i}", f"encoder.spec_blocks.{i}", _SPECTRUM)
        yield from _parts(f"encoder.block{i}", f"encoder.downsample.{i}", _DOWN)
        for j in range(config.encoder_units):
            yield from _parts(f"encoder.block{i}.unit{j}", f"encoder.blocks.{i}.{j}", _UNIT)
    yield from _parts(f"encoder.spectrum{len(config.strides)}", "encoder.spec_post", _SPECTRUM)


def _places_in_decoder(config: Config) -> Iterator[tuple[str, str]]:
    """They count all layers in turn; a level has a scale, ELU, upsampling, k1 and units."""
    yield from (("decoder.first", "decoder.model.0"), ("decoder.depth", "decoder.model.1"))
    start = 2
    for i in range(len(config.strides)):
        yield f"decoder.block{i}.up", f"decoder.model.{start + 2}"
        yield f"decoder.block{i}.point", f"decoder.model.{start + 3}"
        for j in range(config.decoder_units):
            yield from _parts(f"decoder.block{i}.unit{j}", f"decoder.model.{start + 4 + j}", _UNIT)
        start += 4 + config.decoder_units
    yield "decoder.last", f"decoder.model.{start + 2}"


def _parts(ours: str, theirs: str, parts: dict[str, str]) -> Iterator[tuple[str, str]]:
    return ((f"{ours}.{part}", theirs + place) for part, place in parts.items())


def _fill(layer: nn.Module, weights: Weights, name: str, bias: bool) -> None:
    """One layer; where the authors' has no bias it is zero."""
    if isinstance(layer, LearnedScale):
        layer.weight.copy_(weights.take(name, (1,)))
    elif isinstance(layer, LogSpectrogram):  # the authors' is of float32 angles
        layer.weight.copy_(weights.take(f"{name}.weight", layer.weight[:, :, 0].shape)[:, :, None])
    elif isinstance(layer, CausalUpsample):
        fill_upsample(layer.conv, layer.stride, weights, f"{name}.convtr.convtr", bias=False)
    elif isinstance(layer, CausalConv):
        fill_conv(layer, weights, f"{name}.conv.conv", bias)


def _fill_codebooks(quantizer: ResidualVectorQuantizer, weights: Weights) -> None:
    """Entries, and the sums and counts of the vectors that they follow in training."""
    parts = {"embed": quantizer.codebooks, "ema_embed": quantizer.sums, "ema_num": quantizer.usage}
    for i in range(len(quantizer.codebooks)):
        for key, stack in parts.items():
            stack[i] = weights.take(f"quantizer.layers.{i}.{key}", stack[i].shape)
