"""The shape of a codec: frozen dataclasses that model, artifact and runtime share, one for each family of networks."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from soundstream.errors import ConfigError
from soundstream.spec import SIDES, Codebook, CodecSpec, Switch


@dataclass(frozen=True)
class CodecConfig:
    """What codecs of all families are made of; a family adds the settings of its networks.

    Source: SoundStream (Zeghidour et al., 2021), section III and Table I. The paper does not state `latent_dim`;
    256 reproduces its parameter counts, 128 is our default.
    """

    family: ClassVar[str] = ""
    """Name of the family in config.json and in run files."""

    sample_rate: int = 24_000
    """Hz at which the networks run."""
    latent_dim: int = 128
    """Channels of the latents, and width of a codebook entry (D)."""
    num_quantizers: int = 24
    """Codebooks that exist; fewer may be used."""
    codebook_size: int = 1024
    """Entries of a codebook (N), a power of two."""
    condition_dim: int = 2
    """Width of the FiLM condition: one-hot (plain, denoise)."""
    film: str = "encoder"
    """Side of the quantizer on which the condition works: `encoder`, or `decoder`, where whoever listens decides."""
    denoise: bool = False
    """Whether the model was trained for the second of them; export takes it from the run's data settings."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.name in _RANGES:
                _check_range(field.name, getattr(self, field.name))
        if self.codebook_size & (self.codebook_size - 1):
            raise ConfigError(f"codebook_size is {self.codebook_size}; expected a power of two")
        if self.film not in SIDES:
            raise ConfigError(f"film is {self.film!r}; expected one of: {', '.join(SIDES)}")
        if not isinstance(self.denoise, bool) or (self.denoise and self.condition_dim < 2):
            raise ConfigError(f"denoise is {self.denoise!r}; expected true or false, true only if condition_dim is 2")

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        raise NotImplementedError

    @property
    def delay_samples(self) -> int:
        """Samples by which decoded audio lags behind the input when a frame is decoded as soon as it is complete."""
        return 0

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    def spec(self) -> CodecSpec:
        """What an artifact says of the codec, but for what a decoder remembers."""
        return CodecSpec(
            sample_rate=self.sample_rate,
            hop_length=self.hop_length,
            latent_dim=self.latent_dim,
            codebooks=(Codebook(self.codebook_size),) * self.num_quantizers,
            counts=tuple(range(1, self.num_quantizers + 1)),
            delay_samples=self.delay_samples,
            switches=(Switch("denoise", self.film),) if self.denoise else (),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        fields = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}
        return {"family": self.family} | fields

    @staticmethod
    def from_dict(data: dict[str, Any]) -> CodecConfig:
        """Inverse of `to_dict`; data without a family is SEANet's.

        Raises:
            ConfigError: the family or a key is unknown, or a value is out of range.
        """
        if not isinstance(data, dict):
            raise ConfigError(f"codec settings are {data!r}; expected a table of names and values")
        name = data.get("family", SeanetConfig.family)
        family = next((known for known in FAMILIES if known.family == name), None)
        if family is None:
            raise ConfigError(f"family is {name!r}; expected one of: {', '.join(f.family for f in FAMILIES)}")
        unknown = set(data) - {"family", *(field.name for field in dataclasses.fields(family))}
        if unknown:
            raise ConfigError(f"unknown {family.family} setting {', '.join(sorted(unknown))}")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "family"}
        return family(**plain)


@dataclass(frozen=True)
class SeanetConfig(CodecConfig):
    """A codec whose networks are SEANets, as published: convolutions from the full rate down, step by step."""

    family: ClassVar[str] = "seanet"

    encoder_channels: int = 16
    """Channels after the encoder's first convolution (C_enc); they double with each block."""
    decoder_channels: int = 16
    """Channels before the decoder's last convolution (C_dec)."""
    strides: tuple[int, ...] = (2, 4, 5, 8)
    """Down-sampling factor of each encoder block; the decoder mirrors them."""
    dilations: tuple[int, ...] = (1, 3, 9)
    """Dilation of each residual unit in a block."""
    encoder_trunk_blocks: int = 0
    """ConvNeXt blocks at the frame rate between the encoder's last strided layer and the quantizer; 0 is the paper."""
    decoder_trunk_blocks: int = 0
    """The same between the quantizer and the decoder's first upsampling layer."""
    trunk_width: int = 512
    """Channels of these blocks."""
    trunk_kernel: int = 7
    """Frames that their depthwise convolutions see."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("strides", "dilations"):
            values = getattr(self, name)
            whole = isinstance(values, tuple | list) and all(isinstance(v, int) and 1 <= v <= 64 for v in values)
            if not values or not whole:
                raise ConfigError(f"{name} is {values!r}; expected whole numbers from 1 to 64")
            object.__setattr__(self, name, tuple(values))

    @property
    def hop_length(self) -> int:
        return math.prod(self.strides)


@dataclass(frozen=True)
class SpectralConfig(CodecConfig):
    """A codec whose networks work on the frames of an MDCT: all their layers run at the frame rate.

    Source: ours, related to StreamCodec (MDCT), APCodec and Vocos (ConvNeXt); see `soundstream.nn.families.spectral`.
    """

    family: ClassVar[str] = "spectral"

    latent_dim: int = 64
    hop_length: int = 320
    """Samples per frame, and coefficients of the transform."""
    overlap: int = 80
    """Samples that neighbouring windows share; decoded audio lags by as many."""
    bands: int = 24
    """Latents that start as the levels of bands above those coefficients that the other latents start as."""
    band_start: int = 0
    """First coefficient of those bands; 0 is latent_dim - bands, as many as there are other latents."""
    encoder_width: int = 256
    """Channels of the encoder's blocks."""
    encoder_blocks: int = 4
    """ConvNeXt blocks of the encoder."""
    decoder_width: int = 256
    """Channels of the decoder's blocks."""
    decoder_blocks: int = 7
    """ConvNeXt blocks of the decoder."""
    kernel: int = 7
    """Frames that a block's depthwise convolution sees."""
    output: str = "exp"
    """Coefficients are value * exp(scale) with `exp`; with `square` the value counts squared, with its sign, and so
    undoes the roots that the encoder sees."""
    denoiser_blocks: int = 0
    """ConvNeXt blocks of the denoiser before the encoder; 0 is no denoiser, and FiLM alone."""
    denoiser_width: int = 192
    """Channels of its blocks."""
    denoiser_kernel: int = 15
    """Frames that their depthwise convolutions see."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.overlap > self.hop_length or (self.hop_length - self.overlap) % 2:
            raise ConfigError(
                f"overlap is {self.overlap}; expected at most hop_length = {self.hop_length}, at an even distance to it"
            )
        if not self.bands < self.latent_dim <= self.hop_length:
            raise ConfigError(f"bands is {self.bands}; expected less than latent_dim = {self.latent_dim}")
        if self.first_band + self.bands > self.hop_length:
            raise ConfigError(
                f"band_start is {self.band_start}; expected at most hop_length - bands = {self.hop_length - self.bands}"
            )
        if self.output not in OUTPUTS:
            raise ConfigError(f"output is {self.output!r}; expected one of: {', '.join(OUTPUTS)}")
        if self.denoiser_blocks and (self.condition_dim < 2 or self.film != "encoder"):
            raise ConfigError(
                f"denoiser_blocks is {self.denoiser_blocks}; expected 0 unless condition_dim is 2 and film is encoder"
            )

    @property
    def delay_samples(self) -> int:
        return self.overlap

    @property
    def first_band(self) -> int:
        """First coefficient that belongs to a band of levels."""
        return self.band_start or self.latent_dim - self.bands

    @property
    def features(self) -> int:
        """Channels that the encoder sees: levels of bands, and coefficients."""
        return self.bands + self.hop_length


OUTPUTS = ("exp", "square")
"""What the spectral family may make of the decoder's values."""

FAMILIES: tuple[type[CodecConfig], ...] = (SeanetConfig, SpectralConfig)
"""Every family; the first is meant where none is named."""

_RANGES = {
    "sample_rate": (8_000, 192_000),
    "latent_dim": (1, 4096),
    "num_quantizers": (1, 128),
    "codebook_size": (2, 65_536),
    "condition_dim": (1, 16),
    "encoder_channels": (2, 1024),
    "decoder_channels": (2, 1024),
    "encoder_trunk_blocks": (0, 64),
    "decoder_trunk_blocks": (0, 64),
    "trunk_width": (1, 4096),
    "trunk_kernel": (1, 64),
    "hop_length": (8, 4096),
    "overlap": (2, 4096),
    "bands": (1, 4096),
    "band_start": (0, 4096),
    "encoder_width": (1, 4096),
    "decoder_width": (1, 4096),
    "encoder_blocks": (1, 64),
    "decoder_blocks": (1, 64),
    "kernel": (1, 64),
    "denoiser_blocks": (0, 64),
    "denoiser_width": (1, 4096),
    "denoiser_kernel": (1, 64),
}


def _check_range(name: str, value: object) -> None:
    low, high = _RANGES[name]
    if not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; expected a whole number from {low} to {high}")
