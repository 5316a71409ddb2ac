"""How audio is to be coded: one object, made where a person or a program asks, checked once, and passed on as it is.

A further option is a field of `EncodeOptions`, and its line in `EncodeKeywords` for type checkers: functions and
commands take their options from there.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, TypedDict

from soundstream.errors import ConfigError
from soundstream.runtime.quantizer import DEFAULT_EFFORT, check_effort
from soundstream.spec import CodecSpec


@dataclass(frozen=True)
class Help:
    """What a command says of an option."""

    text: str
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    """Where they are not the name of the field."""
    of_files: bool = False
    """Whether the option means something for files alone, and nothing for codes and live packets."""


class EncodeKeywords(TypedDict, total=False):
    """The fields of `EncodeOptions` that are given by name."""

    denoise: float
    effort: int
    entropy: str | None
    tags: Mapping[str, str] | None
    vbr: bool
    max_bitrate: int | None
    quality: float | None


@dataclass(frozen=True)
class EncodeOptions:
    """How audio is to be coded."""

    bitrate: Annotated[
        int | None,
        Help(
            "Bit/s of each channel: 6000 if not said; 750 to 18750 in steps of 750 of base.", flags=("--bitrate", "-b")
        ),
    ] = None
    """Nominal bit/s of each channel; None is 6,000, or the highest below it that the model has."""
    _: KW_ONLY
    vbr: Annotated[
        bool, Help("Let the rate vary with the sound, to the size of the file at a constant --bitrate.", of_files=True)
    ] = False
    """Let the rate vary with the sound; the file is as large as at a constant `bitrate`."""
    max_bitrate: Annotated[
        int | None, Help("Highest bit/s of a packet with --vbr or --quality; else the model's.", of_files=True)
    ] = None
    """Highest bit/s of a packet with `vbr` or `quality`; None is the model's."""
    quality: Annotated[
        float | None,
        Help("Give each frame the codebooks that it needs, such as 1; of models that tell: vrvq.", of_files=True),
    ] = None
    """How much each frame gets of what it needs, of models that tell; the rate follows, and `bitrate` is left out."""
    tags: Annotated[
        Mapping[str, str] | None, Help("Text to keep in the file.", "NAME=VALUE", flags=("--tag",), of_files=True)
    ] = None
    """Text to keep in the file, by name."""
    entropy: Annotated[
        str | None,
        Help(
            "How codes are packed: best up to 8 codebooks, above them fast, which decodes quickly.",
            "none|fast|best",
            of_files=True,
        ),
    ] = None
    """`none`, `fast` (fixed tables) or `best` (context model); None is `best` up to 8 codebooks, `fast` above, where
    the context model decodes slowly, and `none` for a model without tables."""
    denoise: Annotated[
        float, Help("Remove noise from speech: 1 all that can be, 0.5 half way, 0 none. Music stays as it is.", "0..1")
    ] = 0.0
    """How much noise to remove from speech: 0 none, 1 all that can be; models trained for it have it."""
    effort: Annotated[
        int,
        Help(
            "Search longer for codes that sound better; about the same size. From 8 on it listens to them: as long "
            "as the sound, about.",
            "1..64",
        ),
    ] = DEFAULT_EFFORT
    """Paths that the search for codes keeps, 1 to 64: more take longer and sound better. From 8 on it decodes those
    that it finds, and takes what comes nearest to the sound."""

    def check(self, spec: CodecSpec) -> None:
        """Refuse what a codec does not have.

        Raises:
            ConfigError: the bit rate, the denoising or the effort is not supported.
        """
        self.rates(spec)
        spec.check_denoise(self.denoise)
        check_effort(self.effort)

    def check_stream(self, spec: CodecSpec) -> None:
        """`check`, for codes and live packets, which have no file around them.

        Raises:
            ConfigError: as `check`, or an option is of files.
        """
        for name, (_, told) in option_fields().items():
            if told.of_files and getattr(self, name):
                raise ConfigError(f"{name} is an option of files; leave it out where there is none")
        self.check(spec)

    def rates(self, spec: CodecSpec) -> tuple[int, int]:
        """Nominal bit/s of a file, and the highest of a packet.

        Raises:
            ConfigError: the codec does not have one of them, or a constant rate is to have a highest one.
        """
        nominal = spec.bitrate(spec.quantizers_for(self.bitrate))
        if self.quality is not None:
            self._check_quality(self.quality, spec)
            nominal = spec.bitrate(spec.num_quantizers)
        elif not self.vbr and self.max_bitrate is not None:
            raise ConfigError(
                "the highest bit rate of a packet (--max-bitrate) goes with a variable rate (--vbr, --quality)"
            )
        elif not self.vbr:
            return nominal, nominal
        most = spec.bitrate(spec.num_quantizers) if self.max_bitrate is None else self.max_bitrate
        spec.quantizers_for(most)
        return min(nominal, most), most

    def _check_quality(self, quality: float, spec: CodecSpec) -> None:
        spec.check_quality(quality)
        if self.vbr or self.bitrate is not None:
            raise ConfigError(
                "a quality (--quality) and a size (--bitrate, --vbr) are both given; the one follows from the other"
            )


def option_fields() -> dict[str, tuple[dataclasses.Field, Help]]:
    """The fields of `EncodeOptions` by name, with what a command says of them."""
    hints = typing.get_type_hints(EncodeOptions, include_extras=True)
    return {one.name: (one, hints[one.name].__metadata__[0]) for one in dataclasses.fields(EncodeOptions)}
