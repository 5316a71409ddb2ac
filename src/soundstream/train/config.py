"""Run files: TOML, each holding only its difference from the file it includes."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jaxtyping import Float, Int
from torch import Tensor

from soundstream.errors import ConfigError
from soundstream.nn.config import FamilyConfig
from soundstream.nn.families import DEFAULT, config_of
from soundstream.train.adversarial.discriminators import NONE, DiscriminatorConfig
from soundstream.train.clock import ClockConfig
from soundstream.train.data.crops import DataConfig
from soundstream.train.losses.reconstruction import LossConfig
from soundstream.train.steps.optimizer import OptimizerConfig

Table = TypeVar("Table")
STAGES = ("codec", "decoder", "denoise")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run."""

    codec: FamilyConfig = field(default_factory=lambda: config_of({}))
    """The model."""
    data: DataConfig = field(default_factory=DataConfig)
    """What it hears."""
    loss: LossConfig = field(default_factory=LossConfig)
    """What it is judged by."""
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    """Discriminators of the adversarial phase."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How it follows."""
    clock: ClockConfig = field(default_factory=ClockConfig)
    """What begins when, where there is a time limit."""
    features: str = ""
    """What makes the features that the codec takes beside the sound, `MODULE:FUNCTION`; see `train.data.features`."""
    stage: str = "codec"
    """What learns: `codec` is all of it, `decoder` the decoder alone, for codes that stay what they are (see
    `train.steps.decoding`), `denoise` the denoise switch alone (see `train.steps.denoising`)."""
    seed: int = 0
    """Start of every random draw; each step derives its own from it, so that a resumed run repeats exactly."""
    time_limit_s: float = 0.0
    """Time that the run has: then the clock decides what begins when, and when it ends; 0 leaves that to the steps."""
    total_steps: int = 1_000_000
    """The run ends here, unless it has a time limit."""
    quantize_from_step: int = 300
    """Until here the quantizer is bypassed; then k-means starts the codebooks."""
    kmeans_batches: int = 40
    """Batches whose latents start the codebooks."""
    trunk_from_step: int = 0
    """Until here the trunks of SEANet stay as they start and do nothing, so that first the waveform is followed."""
    quantizer_dropout_power: float = 2.0
    """An example uses 1 + num_quantizers * u ** power codebooks, u uniform: 1 draws all counts alike, as published."""
    quantizer_dropout_shares: dict[str, float] = field(default_factory=dict)
    """Share of the examples that use just so many codebooks, such as { 4 = 0.3, 8 = 0.3 }; the others are drawn."""
    quantizer_effort: int = 1
    """Paths that the search for codes keeps in training, as `encode --effort` does; 1 takes the nearest entries."""
    adversarial_from_step: int = 10_000
    """From here the discriminators take part; a run that ends before has none."""
    discriminator_warmup_steps: int = 500
    """Steps that the discriminators learn before the generator follows them."""
    discriminator_ramp_steps: int = 0
    """Steps after these over which the weights of their terms rise."""
    discriminator_every: int = 1
    """The discriminators take part in every n-th step; the others are reconstruction alone."""
    discriminator_crop_frames: int = 0
    """Length in frames of the random part of each crop that the discriminators hear; 0 is the whole."""
    discriminator_examples: int = 0
    """Examples of each batch that the discriminators hear, over all processes; 0 is all."""
    ema_decay: float = 0.999
    """Share of the past in the moving average of the generator, which is what is validated and exported; 0 is none."""

    def __post_init__(self) -> None:
        for name, least in _MIN.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least {least}")
        if self.stage not in STAGES:
            raise ConfigError(f"stage is {self.stage!r}; expected one of: {', '.join(STAGES)}")
        self._check_shares()
        if self.data.crop_frames % (granule := self.codec.spec().granule):
            raise ConfigError(
                f"crop_frames is {self.data.crop_frames}; expected a multiple of {granule}, which codes cover together"
            )
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay is {self.ema_decay}; expected 0 to less than 1")
        if self.is_adversarial:
            self._check_judged_length()

    @property
    def is_adversarial(self) -> bool:
        """Whether the run has discriminators."""
        if self.stage == "denoise" or self.discriminator.kind == NONE:
            return False
        by_clock = self.time_limit_s > 0
        return self.clock.adversarial_from < 1 if by_clock else self.adversarial_from_step < self.total_steps

    def draw_counts(self, u: Float[Tensor, " batch"], v: Float[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Codebooks in use for each example, from two draws in [0, 1)."""
        counts = 1 + (self.codec.num_quantizers * u**self.quantizer_dropout_power).long()
        end = 0.0
        for count, share in self.quantizer_dropout_shares.items():
            counts[(v >= end) & (v < end + share)] = int(count)
            end += share
        return counts

    def _check_shares(self) -> None:
        shares, most = self.quantizer_dropout_shares, self.codec.num_quantizers
        counts = [int(count) if count.isdecimal() else 0 for count in shares]
        if not all(1 <= count <= most for count in counts):
            raise ConfigError(f"quantizer_dropout_shares names {', '.join(shares)}; expected counts from 1 to {most}")
        if min(shares.values(), default=0) < 0 or sum(shares.values()) > 1 + 1e-9:
            raise ConfigError(
                f"quantizer_dropout_shares is {shares}; expected shares from 0 to 1 that sum to 1 at most"
            )

    def _check_judged_length(self) -> None:
        examples, batch = self.discriminator_examples, self.data.batch_size
        if examples > batch:
            raise ConfigError(f"discriminator_examples is {examples}; expected at most batch_size = {batch}")
        hop, crop = self.codec.hop_length, self.data.crop_frames
        most = (crop * hop - self.codec.delay_samples) // hop
        frames = self.discriminator_crop_frames
        needed = self.discriminator.min_samples(self.codec.sample_rate)
        if frames > most or (frames or most) * hop < needed:
            raise ConfigError(
                f"the discriminators hear {frames or most} frames of crops of {crop} (discriminator_crop_frames, "
                f"crop_frames); they need {-(-needed // hop)} to {most}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self) | {"codec": self.codec.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrainConfig:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: a key is unknown or a value is out of range.
        """
        tables: dict[str, Any] = {name: _table(kind, data.get(name, {}), name) for name, kind in _TABLES.items()}
        codec = config_of(data.get("codec", {}))
        plain = {name: value for name, value in data.items() if name not in {*_TABLES, "codec"}}
        return cls(**_values(cls, plain, "training"), codec=codec, **tables)


def load_run(path: Path, **changes: Any) -> TrainConfig:
    """Read a run file; `include` names the file, beside it, whose settings it changes; `changes` come last.

    Args:
        changes: settings of the top level, and tables as dictionaries of the settings that change.
    Raises:
        ConfigError: the file is missing, no TOML, or holds an unknown setting.
    """
    return TrainConfig.from_dict(_merged(_read(path), changes))


def timed(config: TrainConfig, seconds: float) -> TrainConfig:
    """The same run by the clock: it ends after so many seconds, with rates that fall to zero."""
    return dataclasses.replace(config, time_limit_s=max(seconds, 1e-6))


def annealed(config: TrainConfig, step: int, steps: int) -> TrainConfig:
    """The same run, ending `steps` after `step` with rates that fall to zero: a cool-down branch."""
    optimizer = dataclasses.replace(config.optimizer, decay_steps=steps)
    return dataclasses.replace(config, total_steps=step + steps, optimizer=optimizer)


_TABLES: dict[str, type] = {
    "data": DataConfig,
    "loss": LossConfig,
    "discriminator": DiscriminatorConfig,
    "optimizer": OptimizerConfig,
    "clock": ClockConfig,
}
_MIN = {
    "time_limit_s": 0,
    "total_steps": 1,
    "kmeans_batches": 1,
    "trunk_from_step": 0,
    "quantizer_dropout_power": 0.1,
    "quantizer_effort": 1,
    "adversarial_from_step": 0,
    "discriminator_warmup_steps": 0,
    "discriminator_ramp_steps": 0,
    "discriminator_examples": 0,
    "discriminator_every": 1,
    "discriminator_crop_frames": 0,
}
_LIKE: dict[type, tuple[type, ...]] = {float: (int, float), tuple: (tuple, list)}


def _table(kind: type[Table], data: Any, name: str) -> Table:
    """A dataclass of settings from plain data."""
    return kind(**_values(kind, data, name))


def _values(kind: type, data: Any, name: str) -> dict[str, Any]:
    """Settings of a dataclass from plain data; every setting has a default, whose type it must have."""
    if not isinstance(data, dict):
        raise ConfigError(f"{name} is {data!r}; expected a table of names and values")
    defaults = vars(kind())
    unknown = set(data) - set(defaults)
    if unknown:
        raise ConfigError(f"unknown {name} setting {', '.join(sorted(unknown))}")
    for key, value in data.items():
        expected = _LIKE.get(type(defaults[key]), (type(defaults[key]),))
        if not isinstance(value, expected) or isinstance(value, bool) != isinstance(defaults[key], bool):
            raise ConfigError(f"{key} is {value!r}; expected something like {defaults[key]!r}")
    return {key: _as(defaults[key], value) for key, value in data.items()}


def _as(default: Any, value: Any) -> Any:
    """Lists as tuples and whole numbers as fractions, where the default is one."""
    if isinstance(value, list | tuple):
        return tuple(_as(default[0] if default else None, item) for item in value)
    return float(value) if isinstance(default, float) else value


def _read(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read run file {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not a valid run file: {error}") from error
    if path.parent / data.get("include", "") == path:
        raise ConfigError(f"{path} includes itself; include names another file")
    base = _read(path.parent / data.pop("include")) if "include" in data else {}
    return _merged(base, data)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with changes, inside tables one by one; a codec of another family takes the place of the whole table."""
    merged = base | changes
    for name in base.keys() & changes.keys():
        if isinstance(base[name], dict) and isinstance(changes[name], dict):
            merged[name] = base[name] | changes[name]
    codec = changes.get("codec")
    if isinstance(codec, dict) and "family" in codec and codec["family"] != _family(base):
        merged["codec"] = codec
    return merged


def _family(data: dict[str, Any]) -> Any:
    return data.get("codec", {}).get("family", DEFAULT)
