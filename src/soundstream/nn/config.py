"""Settings of a codec's networks: what all families have; a family's own `Config` adds to it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from soundstream.errors import ConfigError
from soundstream.limits import Flag, OneOf, Whole, check_limits
from soundstream.spec import SIDES, Codebook, CodecSpec, Features, Importance, Levels, Switch


@dataclass(frozen=True)
class QuantizerForm:
    """What a quantizer has beside codebooks as wide as the latents, each coding what those before it leave over."""

    width: Annotated[int, Whole(0, 4096)] = 0
    """Numbers of an entry, with a projection to and from them for each codebook; 0 are those of the latents, plain."""
    cosine: Annotated[bool, Flag()] = False
    """Whether the nearest entry is the one of the nearest direction."""
    sizes: tuple[int, ...] = ()
    """Entries by codebook, at most `codebook_size`, which none is for all."""
    strides: Annotated[tuple[int, ...], Whole(1, 64)] = (1,)
    """Frames that a code covers, by codebook; one is for all."""
    groups: tuple[str, ...] = ("acoustic",)
    """Name of each codebook's group, which starts anew from the latents; one is for all."""
    group_width: Annotated[int, Whole(0, 4096)] = 0
    """Channels that a group projects the latents to and back; 0 is no projection."""

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True)
class FamilyConfig:
    """Frozen, and JSON both ways; each field says its range.

    Source: SoundStream (Zeghidour et al., 2021), section III and Table I. The paper does not state `latent_dim`;
    256 reproduces its parameter counts, 128 is our default.
    """

    GROWS: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Settings that `grow` may make larger, by the word for them; two are the encoder's and the decoder's."""
    EXACT: ClassVar[bool] = False
    """Whether artifacts are to be the model itself: all weights float32, three times the size, and no post-filter."""

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
        self.codebooks()  # which checks them
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

    @property
    def audio_channels(self) -> int:
        """Channels that the networks take together; with 1 each is coded by itself."""
        return 1

    @property
    def layouts(self) -> tuple[tuple[int, ...], ...]:
        """Which of `audio_channels` a signal may have, as `CodecSpec.layouts`; FiLM is told which one it is."""
        return ()

    @property
    def side_numbers(self) -> int:
        """Numbers that a segment has beside its codes."""
        return 0

    @property
    def levels(self) -> Levels | None:
        """What is coded of the levels of bands beside the latents; nothing unless a family says otherwise."""
        return None

    @property
    def encoder_features(self) -> Features | None:
        """What the encoder takes beside the sound; nothing unless a family says otherwise."""
        return None

    @property
    def importance(self) -> Importance | None:
        """That the encoder's last channel, behind those of the latents, says how many codebooks a frame needs."""
        return None

    @property
    def quantizer(self) -> QuantizerForm:
        """What the quantizer is; plain unless a family says otherwise."""
        return QuantizerForm()

    def codebooks(self) -> tuple[Codebook, ...]:
        """The stack as an artifact tells of it.

        Raises:
            ConfigError: strides, groups or sizes are those of another number of codebooks, or one is larger than
                `codebook_size`.
        """
        form, count, sizes = self.quantizer, self.num_quantizers, self.quantizer.sizes or (self.codebook_size,)
        if not {len(form.strides), len(form.groups), len(sizes)} <= {1, count}:
            told = f"strides {form.strides}, groups {form.groups} or sizes {sizes}"
            raise ConfigError(f"{told} are not those of {count} codebooks")
        if max(sizes) > self.codebook_size:
            raise ConfigError(f"sizes are {list(sizes)}; expected at most codebook_size, {self.codebook_size}")
        columns = (column * (count // len(column)) for column in (sizes, form.strides, form.groups))
        books = [Codebook(*book) for book in zip(*columns, strict=True)]
        if self.levels:
            books.insert(self.levels.place, Codebook(self.codebook_size))
        return tuple(books)

    def before_growth(self, larger: FamilyConfig) -> FamilyConfig:
        """The same codec with nothing left unsaid that its sizes decide, and a larger one's sizes of what it lacks."""
        return self

    def spec(self) -> CodecSpec:
        """What an artifact says of the codec, but for what a decoder remembers."""
        codebooks = self.codebooks()
        return CodecSpec(
            sample_rate=self.sample_rate,
            hop_length=self.hop_length,
            latent_dim=self.latent_dim + (self.levels.bands if self.levels else 0),
            codebooks=codebooks,
            counts=tuple(range(1, len(codebooks) + 1)),
            channels=self.audio_channels,
            layouts=self.layouts,
            delay_samples=self.delay_samples,
            side_numbers=self.side_numbers,
            switches=(Switch("denoise", self.film),) if self.denoise else (),
            levels=self.levels,
            postfilter=not self.EXACT,  # models of others sound as they do elsewhere
            features=self.encoder_features,
            importance=self.importance,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        fields = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}
        return {"family": self.family} | fields
