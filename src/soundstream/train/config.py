"""Run files: TOML, each holding only its difference from the file it includes."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundstream.config import CodecConfig
from soundstream.errors import ConfigError


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run."""

    codec: CodecConfig = field(default_factory=CodecConfig)
    """The model."""
    seed: int = 0
    """Start of every random draw; each step derives its own from it, so that a resumed run repeats exactly."""
    batch_size: int = 8
    """Crops per step."""
    crop_frames: int = 38
    """Length of a crop in frames."""
    category_weights: dict[str, float] = field(default_factory=lambda: {"speech": 0.55, "music": 0.25, "ambient": 0.2})
    """Share of crops from each top folder of the data; folders not named here weigh 1."""
    gain_db: tuple[float, float] = (-12.0, 6.0)
    """Range of the random gain; crops are kept below full scale."""
    learning_rate: float = 1e-3
    """Rate of AdamW between warm-up and decay."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's averaging of gradients and their squares."""
    warmup_steps: int = 100
    """Steps over which the rate rises from zero."""
    total_steps: int = 1_000_000
    """The run ends here."""
    decay_steps: int = 0
    """Steps before the end over which the rate falls linearly to zero."""
    quantize_from_step: int = 300
    """Until here the quantizer is bypassed; then k-means starts the codebooks."""
    kmeans_batches: int = 40
    """Batches whose latents start the codebooks."""
    shift_steps: tuple[int, int] = (400, 2000)
    """Between these steps the gradient moves from waveform to mel."""
    waveform_share: tuple[float, float] = (0.85, 0.25)
    """Share of the waveform loss in the gradient of the output, before and after the shift; mel has the rest."""
    mel_floor: tuple[float, float] = (1e-3, 1e-4)
    """Amplitude under which the mel loss does not look, before and after the shift."""
    commitment_weight: float = 0.03
    """Pull of the latents to their quantized values; a strong one favours few codebooks, a weak one many."""
    clip_norm: float = 10.0
    """Largest norm of the generator's gradient."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "crop_frames", "total_steps", "kmeans_batches"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self) | {"codec": self.codec.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrainConfig:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: a key is unknown or a value is out of range.
        """
        unknown = set(data) - {f.name for f in dataclasses.fields(cls)}
        if unknown:
            raise ConfigError(f"unknown training setting {', '.join(sorted(unknown))}")
        for name, default in cls().to_dict().items():
            if name in data and not isinstance(data[name], _LIKE.get(type(default), type(default))):
                raise ConfigError(f"{name} is {data[name]!r}; expected something like {default!r}")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**(plain | {"codec": CodecConfig.from_dict(data.get("codec", {}))}))


def load_run(path: Path, **changes: Any) -> TrainConfig:
    """Read a run file; `include` names the file, beside it, whose settings it changes; `changes` come last.

    Raises:
        ConfigError: the file is missing, no TOML, or holds an unknown setting.
    """
    return TrainConfig.from_dict(_read(path) | changes)


_LIKE: dict[type, tuple[type, ...]] = {float: (int, float), tuple: (tuple, list)}


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
    codec = data.get("codec", {})
    return base | data | {"codec": base.get("codec", {}) | codec if isinstance(codec, dict) else codec}
