"""Codec specs, such as `opus:6000`, and the codecs that they name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from soundstream.arrays import Array
from soundstream.codec import Codec, load
from soundstream.errors import ConfigError
from soundstream.evaluate.codecs.baselines import Baseline, LowPass, Original, Shell
from soundstream.evaluate.codecs.ffmpeg import MP3_RATES, OPUS_RATES, Ffmpeg
from soundstream.evaluate.codecs.lc3 import Lc3
from soundstream.evaluate.codecs.opus import ForcedOpus
from soundstream.runtime.artifact import shipped
from soundstream.runtime.quantizer import DEFAULT_EFFORT, check_effort

WITHOUT_RATE = frozenset({"original", "lowpass"})
KNOWN = (
    "soundstream:BITRATE (the model given by --model) or a shipped model's name in its place, "
    "the same with -vbr or -effortN (1 to 64) behind the name, "
    "opus:BITRATE, opus-cbr:BITRATE, opus-swb:BITRATE, mp3:BITRATE, lc3:BITRATE, "
    "lowpass:HERTZ, original, "
    "and the name given to --shell"
)

_OURS = re.compile(r"(?P<name>.+?)(?P<vbr>-vbr)?(?:-effort(?P<effort>[1-9]\d?))?")
"""A model of ours, and how it codes: at a variable rate, with another effort."""
_OPUS_OPTIONS = {
    "opus": (("vbr", "on"),),
    "opus-cbr": (("vbr", "off"),),
}


@dataclass(frozen=True)
class Spec:
    """What `--codecs` names: a family and a number, bit/s or for low-pass anchors Hz."""

    family: str
    value: int

    def __str__(self) -> str:
        return self.family if self.family == "original" else f"{self.family}:{self.value}"

    @property
    def has_rate(self) -> bool:
        """Whether its bytes say anything: anchors are stored as plain WAV."""
        return self.family not in WITHOUT_RATE


@dataclass(frozen=True)
class Sources:
    """Where codecs come from besides this package's own."""

    model: str = "default"
    """A shipped model's name, or an artifact folder."""
    shell: tuple[str, str, str] | None = None
    """Name, encode command and decode command of an external codec."""


@dataclass(frozen=True)
class Ours:
    """This package's codec at one nominal bit rate; a variable rate has it on average."""

    codec: Codec
    bitrate: int
    vbr: bool = False
    effort: int = DEFAULT_EFFORT

    def encode(self, pcm: Array, sample_rate: int) -> bytes:
        """Bytes of a `.nac` file."""
        return self.codec.encode(pcm, sample_rate, self.bitrate, vbr=self.vbr, effort=self.effort)

    def decode(self, data: bytes) -> tuple[Array, int]:
        """Audio at the rate of the original."""
        return self.codec.decode(data)


def parse(text: str, sources: Sources) -> list[Spec]:
    """Specs of a comma-separated list, in its order.

    Raises:
        ConfigError: a spec is unknown, has no number, or comes twice.
    """
    specs = [_parse_one(word.strip(), sources) for word in text.split(",") if word.strip()]
    if not specs or len(set(specs)) < len(specs):
        raise ConfigError(f"--codecs {text!r} names {'a codec twice' if specs else 'no codec'}; known are {KNOWN}")
    return specs


def _parse_one(word: str, sources: Sources) -> Spec:
    family, _, number = word.partition(":")
    if word == "original":
        return Spec(family, 0)
    name = _named(family)["name"]
    ours = {family} if name == "soundstream" or name in shipped() else {}
    known = {*ours, "mp3", "lc3", "lowpass", "opus-swb", *_OPUS_OPTIONS, *(sources.shell or ())[:1]}
    if family not in known or not number.isdecimal() or int(number) == 0:
        raise ConfigError(f"codec {word!r} is unknown; known are {KNOWN}")
    return Spec(family, int(number))


def _named(family: str) -> dict[str, str | None]:
    """The model that a name begins with, and how it is to code."""
    found = _OURS.fullmatch(family)
    return found.groupdict() if found else {"name": family}


def _model(spec: Spec, sources: Sources) -> str | None:
    """Name or folder of the model behind a spec; None for a third-party codec."""
    name = _named(spec.family)["name"]
    if name == "soundstream":
        return sources.model
    return name if name in shipped() else None


def model_ids(specs: Sequence[Spec], sources: Sources) -> dict[str, str]:
    """Model id by family, for those specs that are ours.

    Raises:
        ArtifactError: a model is missing or damaged.
    """
    models = {spec.family: _model(spec, sources) for spec in specs}
    return {family: load(model).model_id.hex() for family, model in models.items() if model}


@lru_cache(maxsize=64)
def make(spec: Spec, sources: Sources) -> Baseline:
    """The codec that a spec names.

    Raises:
        ConfigError: our codec does not have this bit rate, or this effort.
        ArtifactError: the model is missing or damaged.
    """
    if model := _model(spec, sources):
        codec, how = load(model), _named(spec.family)
        codec.spec.quantizers_for(spec.value)
        check_effort(effort := int(how["effort"] or DEFAULT_EFFORT))
        return Ours(codec, spec.value, bool(how["vbr"]), effort)
    if spec.family == "original":
        return Original()
    if spec.family == "lowpass":
        return LowPass(spec.value)
    if spec.family == "mp3":
        return Ffmpeg("libmp3lame", "mp3", MP3_RATES, spec.value)
    if spec.family == "lc3":
        return Lc3(spec.value)
    if spec.family == "opus-swb":
        return ForcedOpus(spec.value)
    if spec.family in _OPUS_OPTIONS:
        return Ffmpeg("libopus", "ogg", OPUS_RATES, spec.value, _OPUS_OPTIONS[spec.family])
    assert sources.shell is not None
    return Shell(*sources.shell[1:], spec.value)
