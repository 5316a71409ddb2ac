"""A codec of mono, stereo and 5.1 in one, after VCNAC: one encoder, decoder and set of codebooks for all.

    channels  0 left   1 right   2 centre   3 LFE   4 rear left   5 rear right
    5.1       0 1 2 3 4 5        stereo     0 1     mono          2

    sound in its channels, the others silent -> SEANet encoder of six channels -> latents -> codes
    codes -> latents -> FiLM, told which layout is wanted -> SEANet decoder of six channels -> those of the layout

Mono is the centre alone: it has the codes of a sound of 5.1 whose other channels are silent, and so has stereo. The
decoder may be asked for fewer channels than the sound had; what it then gives is learned, from downmixes
(`train.data.placement`). All layouts cost the same time: only the first and the last convolution know channels. A model
may be of fewer layouts (`sizes`); in one of stereo and mono, mono is the left channel.

Source: VCNAC (Grötschla et al., 2026; arXiv:2601.14960), of which we know the abstract and the introduction: one
parametrization for all layouts, shared codebooks, objectives for fewer channels. Layers, rates and places of the
channels are ours; neither code nor weights are published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from soundstream.errors import ConfigError
from soundstream.limits import OneOf, Whole
from soundstream.nn.families import seanet
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.streaming import Chain

CHANNELS = {6: (0, 1, 2, 3, 4, 5), 2: (0, 1), 1: (2,)}
"""Which channels of 5.1 a sound of so many has."""
KERNEL = 7
"""Of the convolutions from and to channels."""


@dataclass(frozen=True)
class Config(seanet.Config):
    """Settings of the networks, which are SEANets at 48 kHz."""

    GROWS: ClassVar[dict[str, tuple[str, ...]]] = {}

    sample_rate: Annotated[int, Whole(8_000, 192_000)] = 48_000
    """Hz at which the networks run."""
    num_quantizers: Annotated[int, Whole(1, 128)] = 32
    """Codebooks that exist; fewer may be used."""
    encoder_channels: Annotated[int, Whole(2, 1024)] = 32
    """Channels after the encoder's first convolution; they double with each block."""
    decoder_channels: Annotated[int, Whole(2, 1024)] = 32
    """Channels before the decoder's last convolution."""
    strides: Annotated[tuple[int, ...], Whole(1, 64)] = (2, 4, 8, 10)
    """Down-sampling factor of each encoder block; the decoder mirrors them."""
    sizes: Annotated[tuple[int, ...], Whole(1, 6)] = (6, 2, 1)
    """Numbers of channels that a sound may have, the largest first: 6 are 5.1, 2 stereo, 1 mono."""
    condition_dim: Annotated[int, Whole(1, len(CHANNELS))] = len(CHANNELS)
    """Width of the FiLM condition, which tells the layout: how many sizes there are."""
    film: Annotated[str, OneOf(("decoder",))] = "decoder"
    """Where the condition works."""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = tuple(size for size in CHANNELS if size in self.sizes)
        alone = len(known) == 1 or 1 in known
        if self.sizes != known or not alone or self.condition_dim != len(known):
            raise ConfigError(
                f"sizes are {list(self.sizes)} with condition_dim {self.condition_dim}; expected some of "
                f"{[*CHANNELS]} in this order, 1 among several, and as many condition_dim"
            )

    @property
    def audio_channels(self) -> int:
        return self.sizes[0]

    @property
    def layouts(self) -> tuple[tuple[int, ...], ...]:
        if len(self.sizes) == 1:
            return ()
        own = set(CHANNELS[self.sizes[0]])
        return tuple(CHANNELS[size] if own >= {*CHANNELS[size]} else (0,) for size in self.sizes)


def build(config: Config) -> SoundStream:
    """Fresh networks."""
    return SoundStream(config, Networks(encoder(config), decoder(config)))


def encoder(config: Config) -> Chain:
    """Audio `[batch, 6, 1, samples]` to latents `[batch, latent_dim, 1, frames]`."""
    network = seanet.encoder(config)
    network.add_module("first", CausalConv(config.audio_channels, config.encoder_channels, KERNEL))
    return network


def decoder(config: Config) -> Chain:
    """Latents `[batch, latent_dim, 1, frames]` to audio `[batch, 6, 1, samples]`."""
    network = seanet.decoder(config)
    last = CausalConv(config.decoder_channels, config.audio_channels, KERNEL, scale=seanet.OUTPUT_SCALE)
    network.add_module("last", last)
    return network
