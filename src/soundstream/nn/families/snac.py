"""SNAC's models: Snakes and depthwise convolutions, with codebooks that have a code for several frames each.

    encoder: conv k7 -> 4 x [3 residual units, Snake, strided conv, channels x 2] -> (attention) -> conv k7
    decoder: conv k7 -> conv k1 -> (attention) -> 4 x [Snake, upsampling conv, channels / 2, noise, 3 residual units]
             -> Snake -> conv k7 -> tanh

The model of 24 kHz has codes for 4, 2 and 1 frames, those of 32 and 44.1 kHz for 8, 4, 2 and 1, and attention inside of
windows of 32 frames. Convolutions see as much of the future as of the past, and zeros beyond the ends of a signal:
streams take chunks with context, of whole windows. All codebooks are in use, always: the models were trained so.

The noise that the decoder adds is a table of as many samples as 32 frames have, or two windows. It is read over and
over from the first frame of a signal on, and pieces of a signal begin on multiples of it (`CodecSpec.period_frames`).
So decoded sound is the same on every machine, in any chunks, and in parts that are cut; that of the original is another
one whenever it decodes.

Artifacts keep the weights as float32, so that codes are those of the original.

Source: SNAC (Siuzdak et al., 2024), section 3. The weights that its author published under the MIT licence become a
model by `convert`; fresh networks are trained as those of other families.
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
from soundstream.nn.config import FamilyConfig, QuantizerForm
from soundstream.nn.layers.attention import HEAD_WIDTH, WindowAttention
from soundstream.nn.layers.dilated import (
    KERNEL,
    OUTPUT_SCALE,
    REACH,
    SCALE,
    ResidualUnit,
    Tanh,
    residual_units,
    seen_by_decoder,
    seen_by_encoder,
)
from soundstream.nn.layers.noise import Noise
from soundstream.nn.layers.padded import PaddedConv, PaddedUpsample
from soundstream.nn.layers.snake import Snake
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.streaming import Chain, StreamingModule
from soundstream.nn.weights import Weights, fill_conv, fill_factored, fill_snake, fill_upsample
from soundstream.spec import CodecSpec

NOISE_FRAMES = 32
"""Length of a table of noise, where there are no windows."""
NOISE_WINDOWS = 2
"""The same in windows, where there are some."""


@dataclass(frozen=True)
class Config(FamilyConfig):
    """SNAC's settings; the defaults are those of the published 24 kHz model."""

    EXACT: ClassVar[bool] = True

    latent_dim: Annotated[int, Whole(1, 4096)] = 768
    """Channels of the latents: those of the encoder, doubled by each block."""
    num_quantizers: Annotated[int, Whole(1, 128)] = 3
    """Codebooks, all of which are used."""
    codebook_size: Annotated[int, Whole(2, 65_536)] = 4096
    """Entries of a codebook, a power of two."""
    codebook_dim: Annotated[int, Whole(1, 4096)] = 8
    """Numbers of a codebook entry, which is compared by its direction."""
    codebook_strides: Annotated[tuple[int, ...], Whole(1, 64)] = (4, 2, 1)
    """Frames that a code covers, by codebook."""
    encoder_channels: Annotated[int, Whole(1, 1024)] = 48
    """Channels after the encoder's first convolution; they double with each block."""
    decoder_channels: Annotated[int, Whole(1, 8192)] = 1024
    """Channels after the decoder's first convolutions; they halve with each block."""
    strides: Annotated[tuple[int, ...], Whole(1, 64)] = (2, 4, 8, 8)
    """Down-sampling factor of each encoder block; the decoder mirrors them."""
    attention_window: Annotated[int, Whole(0, 1024)] = 0
    """Frames that see each other; 0 is no attention."""

    def __post_init__(self) -> None:
        super().__post_init__()
        halvings, widest = 2 ** len(self.strides), self.encoder_channels * 2 ** len(self.strides)
        if self.latent_dim != widest:
            raise ConfigError(f"latent_dim is {self.latent_dim}; expected the encoder's channels, {widest}")
        if self.decoder_channels % halvings:
            raise ConfigError(f"decoder_channels is {self.decoder_channels}; expected a multiple of {halvings}")
        wide = [width for width in (widest, self.decoder_channels) if width > HEAD_WIDTH and width % HEAD_WIDTH]
        if self.attention_window and wide:
            raise ConfigError(f"attention is to see {wide[0]} channels; expected a multiple of {HEAD_WIDTH}")

    @property
    def hop_length(self) -> int:
        return math.prod(self.strides)

    @property
    def quantizer(self) -> QuantizerForm:
        return QuantizerForm(width=self.codebook_dim, cosine=True, strides=self.codebook_strides)

    @property
    def noise_frames(self) -> int:
        """Frames that a table of noise is as long as."""
        return NOISE_WINDOWS * self.attention_window or NOISE_FRAMES

    @property
    def context_frames(self) -> int:
        """Frames to either side of one that its latents, or its decoded sound, depend on; whole windows."""
        window = max(1, self.attention_window)
        reach = REACH + window - 1
        seen = max(seen_by_encoder(self.strides, reach), seen_by_decoder(self.strides, reach))
        return -(-seen // window) * window

    def spec(self) -> CodecSpec:
        return dataclasses.replace(
            super().spec(),
            counts=(self.num_quantizers,),
            context_frames=self.context_frames,
            window_frames=max(1, self.attention_window),
            period_frames=self.noise_frames,
        )


def build(config: Config) -> SoundStream:
    """Fresh networks."""
    return SoundStream(config, Networks(encoder(config), decoder(config)))


def encoder(config: Config) -> Chain:
    """Audio `[batch, 1, 1, samples]`, of whole hops, to latents `[batch, latent_dim, 1, frames]`."""
    channels = config.encoder_channels
    layers: dict[str, StreamingModule] = {"first": PaddedConv(1, channels, KERNEL)}
    for i, stride in enumerate(config.strides):
        down = PaddedConv(channels, 2 * channels, 2 * stride, stride, scale=SCALE)
        layers[f"block{i}"] = Chain(**residual_units(channels, channels), snake=Snake(channels), down=down)
        channels *= 2
    last = PaddedConv(channels, config.latent_dim, KERNEL, groups=channels)
    return Chain(**layers, **_attention(config, channels), last=last)


def decoder(config: Config) -> Chain:
    """Latents `[batch, latent_dim, 1, frames]` to audio `[batch, 1, 1, samples]` of so many hops."""
    latent_dim, channels, frame = config.latent_dim, config.decoder_channels, 1
    layers: dict[str, StreamingModule] = {
        "first": PaddedConv(latent_dim, latent_dim, KERNEL, groups=latent_dim),
        "wide": PaddedConv(latent_dim, channels, kernel=1),
        **_attention(config, channels),
    }
    for i, stride in enumerate(reversed(config.strides)):
        up = PaddedUpsample(channels, channels // 2, stride, output_padding=stride % 2, scale=SCALE)
        snake, channels, frame = Snake(channels), channels // 2, frame * stride
        noise = Noise(channels, config.noise_frames * frame, seed=i)
        layers[f"block{i}"] = Chain(snake=snake, up=up, noise=noise, **residual_units(channels, channels))
    last = PaddedConv(channels, 1, KERNEL, scale=OUTPUT_SCALE)
    return Chain(**layers, snake=Snake(channels), last=last, tanh=Tanh())


def _attention(config: Config, channels: int) -> dict[str, StreamingModule]:
    window = config.attention_window
    return {"attention": WindowAttention(channels, window)} if window else {}


_WIDE = Config(
    sample_rate=32_000,
    latent_dim=1024,
    num_quantizers=4,
    codebook_strides=(8, 4, 2, 1),
    encoder_channels=64,
    decoder_channels=1536,
    strides=(2, 3, 8, 8),
    attention_window=32,
)
VARIANTS = {"24khz": Config(), "32khz": _WIDE, "44khz": dataclasses.replace(_WIDE, sample_rate=44_100)}
"""Settings of the published models, by their names."""
CARD = """\
SNAC of Siuzdak, Grötschla and Lanzendörfer, *SNAC: Multi-Scale Neural Audio Codec*, 2024 (arXiv:2410.14411). Code and
weights are published by hubertsiuzdak/snac under the MIT licence (Copyright (c) 2024 Hubert Siuzdak), which holds for
this folder too. None of them comes with this package.
"""
"""What the card of an imported model says of where it comes from, and of its licence."""
_NAMES = ((".parametrizations.weight.original0", ".weight_g"), (".parametrizations.weight.original1", ".weight_v"))
"""Parts of names that PyTorch gave in two ways, and what they are called here."""


def convert(tensors: dict[str, Tensor], config: Config) -> SoundStream:
    """The model of published weights.

    Args:
        tensors: by the names of the author's files.
        config: the settings they were trained with, one of `VARIANTS`.
    Raises:
        ArtifactError: a tensor is missing, has another shape, or is of no use.
    """
    weights, model = Weights(tensors, _NAMES), build(config)
    _fill_chain(model.encoder, weights, "encoder.block")
    _fill_chain(model.decoder, weights, "decoder.model")
    fill_factored(model.quantizer, weights, "quantizer.quantizers")
    weights.finish()
    return model.eval()


def _fill_chain(chain: Chain, weights: Weights, name: str) -> None:
    """The layers, which have the order of the original; it counts them."""
    for i, (_, layer) in enumerate(chain.layers()):
        if isinstance(layer, Chain | ResidualUnit):
            inner = layer if isinstance(layer, Chain) else layer.branch
            _fill_chain(inner, weights, f"{name}.{i}.block")
        else:
            _fill_layer(layer, weights, f"{name}.{i}")


@torch.no_grad()
def _fill_layer(layer: StreamingModule, weights: Weights, name: str) -> None:
    if isinstance(layer, Snake):
        fill_snake(layer, weights, name)
    elif isinstance(layer, PaddedConv):
        fill_conv(layer, weights, name)
    elif isinstance(layer, PaddedUpsample):
        fill_upsample(layer.conv, layer.stride, weights, name)
    elif isinstance(layer, Noise):
        kernel = weights.take_normalized(f"{name}.linear.weight", layer.weight.shape[:3])
        layer.weight.copy_(kernel[..., None])
    elif isinstance(layer, WindowAttention):
        _fill_attention(layer, weights, name)


def _fill_attention(layer: WindowAttention, weights: Weights, name: str) -> None:
    """The frequencies of its positions are dropped: they are always the same."""
    parts = {
        "norm.weight": layer.norm.weight,
        "norm.bias": layer.norm.bias,
        "to_qkv.weight": layer.qkv.weight,
        "to_out.weight": layer.out.weight,
    }
    for part, parameter in parts.items():
        parameter.copy_(weights.take(f"{name}.{part}", parameter.shape))
    weights.drop(f"{name}.rel_pos.inv_freq")
