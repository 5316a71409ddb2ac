"""Settings of a codec's networks: what all families have; a family's own `Config` adds to it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from soundstream.errors import ConfigError
from soundstream.limits import Flag, OneOf, Whole, check_limits
from soundstream.spec import SIDES, Codebook, CodecSpec, Switch


@dataclass(frozen=True)
class FamilyConfig:
    """Frozen, and JSON both ways; each field says its range.

    Source: SoundStream (Zeghidour et al., 2021), section III and Table I. The paper does not state `latent_dim`;
    256 reproduces its parameter counts, 128 is our default.
    """

    GROWS: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Settings that `grow` may make larger, by the word for them; two are the encoder's and the decoder's."""

    sample_rate: Annotated[int, Whole(8_000, 192_000)] = 24_000
    """Hz at which the networks run."""
    latent_dim: Annotated[int, Whole(1, 4096)] = 128
    """Channels of the latents, and width of a codebook entry (D)."""
    num_quantizers: Annotated[int, Whole(1, 128)] = 24
    """Codebooks that exist; fewer may be used."""
    codebook_size: Annotated[int, Whole(2, 65_536)] = 1024
    """Entries of a codebook (N), a power of two."""
    condition_dim: Annotated[int, Whole(1, 16)] = 2
    """Width of the FiLM condition: one-hot (plain, denoise)."""
    film: Annotated[str, OneOf(SIDES)] = "encoder"
    """Side of the quantizer on which the condition works: `encoder`, or `decoder`, where whoever listens decides."""
    denoise: Annotated[bool, Flag()] = False
    """Whether the model was trained for the second of them; export takes it from the run's data settings."""

    def __post_init__(self) -> None:
        check_limits(self)
        Codebook(self.codebook_size)  # which checks it
        if self.denoise and self.condition_dim < 2:
            raise ConfigError("denoise is true; expected false unless condition_dim is 2")

    @property
    def family(self) -> str:
        """Name of the family in config.json and in run files: that of its module."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        raise NotImplementedError

    @property
    def delay_samples(self) -> int:
        """Samples by which decoded audio lags behind the input when a frame is decoded as soon as it is complete."""
        return 0

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
