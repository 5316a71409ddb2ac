"""The shape of a codec: one frozen dataclass that model, artifact and runtime share."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

from soundstream.errors import ConfigError


@dataclass(frozen=True)
class CodecConfig:
    """What a codec is made of; everything else follows from it.

    Source: SoundStream (Zeghidour et al., 2021), section III and Table I. The paper does not state `latent_dim`;
    256 reproduces its parameter counts, 128 is our default.
    """

    sample_rate: int = 24_000
    """Hz at which the networks run."""
    encoder_channels: int = 16
    """Channels after the encoder's first convolution (C_enc); they double with each block."""
    decoder_channels: int = 16
    """Channels before the decoder's last convolution (C_dec)."""
    strides: tuple[int, ...] = (2, 4, 5, 8)
    """Down-sampling factor of each encoder block; the decoder mirrors them."""
    dilations: tuple[int, ...] = (1, 3, 9)
    """Dilation of each residual unit in a block."""
    latent_dim: int = 128
    """Channels of the latents, and width of a codebook entry (D)."""
    num_quantizers: int = 24
    """Codebooks that exist; fewer may be used."""
    codebook_size: int = 1024
    """Entries of a codebook (N), a power of two."""
    condition_dim: int = 2
    """Width of the FiLM condition: one-hot (plain, denoise)."""

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise ConfigError(f"{name} is {value!r}; expected a whole number from {low} to {high}")
        for name in ("strides", "dilations"):
            values = getattr(self, name)
            whole = isinstance(values, tuple | list) and all(isinstance(v, int) and 1 <= v <= 64 for v in values)
            if not values or not whole:
                raise ConfigError(f"{name} is {values!r}; expected whole numbers from 1 to 64")
            object.__setattr__(self, name, tuple(values))
        if self.codebook_size & (self.codebook_size - 1):
            raise ConfigError(f"codebook_size is {self.codebook_size}; expected a power of two")

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.strides)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency: the samples that must be there before a frame can be coded."""
        return 1000 * self.hop_length / self.sample_rate

    @property
    def codebook_bits(self) -> int:
        """Bits of one plain code."""
        return self.codebook_size.bit_length() - 1

    def bitrate(self, num_quantizers: int) -> int:
        """Nominal bit/s of `num_quantizers` plain codes a frame."""
        return round(self.frame_rate * num_quantizers * self.codebook_bits)

    def quantizers_for(self, bitrate: int) -> int:
        """Number of codebooks for a nominal bit rate.

        Raises:
            ConfigError: no whole number of codebooks gives this rate.
        """
        count = round(bitrate / (self.frame_rate * self.codebook_bits))
        if not 1 <= count <= self.num_quantizers or self.bitrate(count) != bitrate:
            step, high = self.bitrate(1), self.bitrate(self.num_quantizers)
            raise ConfigError(f"bitrate {bitrate} bit/s is not supported; choose {step} to {high} in steps of {step}")
        return count

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CodecConfig:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: a key is unknown or a value is out of range.
        """
        if not isinstance(data, dict):
            raise ConfigError(f"codec settings are {data!r}; expected a table of names and values")
        unknown = set(data) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ConfigError(f"unknown codec setting {', '.join(sorted(unknown))}")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**plain)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"


_RANGES = (
    ("sample_rate", 8_000, 192_000),
    ("encoder_channels", 2, 1024),
    ("decoder_channels", 2, 1024),
    ("latent_dim", 1, 4096),
    ("num_quantizers", 1, 128),
    ("codebook_size", 2, 65_536),
    ("condition_dim", 1, 16),
)
