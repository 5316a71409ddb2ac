"""Settings of a run that are changed while it goes on, by the file `control.json` in its folder.

    {"end": 1767225600, "learning_rate": 2e-4, "mel_weight": 0.5, "save": "before"}

| name | what it does |
| --- | --- |
| `end` | moves the end of a run with a time limit to this moment, in seconds of Unix time |
| `save` | writes the state into this folder of the run folder, once for each name |
| `learning_rate`, `adversarial_learning_rate`, `discriminator_learning_rate` | as in the run file |
| `waveform_weight`, `mel_weight` and so on | as in the run file; one number stands for a pair of two |

The file is read when it has changed; what it said before stays in force. What a run finds there when it begins is not
read: it was meant for another one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from soundstream.errors import ConfigError
from soundstream.train.config import TrainConfig

FILE = "control.json"
RATES = ("learning_rate", "adversarial_learning_rate", "discriminator_learning_rate")
_FOLDER = re.compile(r"[A-Za-z0-9][\w.-]*")


class Wishes(NamedTuple):
    """What the file asks for."""

    config: TrainConfig
    """The run's settings with those of the file."""
    end_unix_s: float | None
    save: str | None
    said: str
    """The file's words, on one line."""


class Control:
    """Looks after the file of one run."""

    def __init__(self, run: Path) -> None:
        self.path = run / FILE
        self._seen, self._saved = self._stamp(), set[str]()

    def changed(self, config: TrainConfig) -> Wishes | None:
        """What the file says, if it has changed since the last look.

        Args:
            config: the settings in force.
        Raises:
            ConfigError: the file is no JSON object, or asks for what cannot be; it is read again when it changes.
        """
        stamp = self._stamp()
        if stamp in (None, self._seen):
            return None
        self._seen = stamp
        try:
            data = json.loads(self.path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{FILE} cannot be read: {error}") from error
        wishes = parsed(data, config)
        return wishes._replace(save=self._new_folder(wishes.save))

    def _new_folder(self, name: str | None) -> str | None:
        """The name, unless the state was saved there before."""
        if not name or name in self._saved:
            return None
        if (folder := self.path.with_name(name)).exists() and not (folder / "run.json").exists():
            raise ConfigError(f"{FILE}: save is {name!r}, but that is no state; choose another name")
        self._saved.add(name)
        return name

    def _stamp(self) -> tuple[int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size


def parsed(data: Any, config: TrainConfig) -> Wishes:
    """What plain data asks for.

    Raises:
        ConfigError: a name or a value is not one that can be.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{FILE} holds {data!r}; expected an object of names and values")
    end, save = data.get("end"), data.get("save")
    if end is not None and not _is_number(end):
        raise ConfigError(f"{FILE}: end is {end!r}; expected seconds of Unix time")
    if end is not None and not config.time_limit_s:
        raise ConfigError(f"{FILE}: end is {end!r}, but this run has no time limit; start it with --time-limit")
    if save is not None and not (isinstance(save, str) and _FOLDER.fullmatch(save)):
        raise ConfigError(f"{FILE}: save is {save!r}; expected the name of a folder")
    settings = {name: value for name, value in data.items() if name not in ("end", "save")}
    return Wishes(_with(config, settings), end, save, json.dumps(data))


def _with(config: TrainConfig, settings: dict[str, Any]) -> TrainConfig:
    terms = [f"{term}_weight" for term in config.loss.terms()]
    known = [*RATES, *terms, "commitment_weight", "rate_weight"]
    if unknown := [name for name in settings if name not in known]:
        raise ConfigError(f"{FILE}: cannot change {', '.join(unknown)}; expected end, save, {', '.join(known)}")
    rates: dict[str, Any] = {name: _number(name, value) for name, value in settings.items() if name in RATES}
    weights: dict[str, Any] = {name: _weight(config, name, v) for name, v in settings.items() if name not in RATES}
    return dataclasses.replace(
        config,
        optimizer=dataclasses.replace(config.optimizer, **rates),
        loss=dataclasses.replace(config.loss, **weights),
    )


def _weight(config: TrainConfig, name: str, value: Any) -> float | tuple[float, ...]:
    if not isinstance(getattr(config.loss, name), tuple):
        return _number(name, value)
    pair = value if isinstance(value, list) else [value, value]
    return tuple(_number(name, item) for item in pair)


def _number(name: str, value: Any) -> float:
    if not _is_number(value) or value < 0:
        raise ConfigError(f"{FILE}: {name} is {value!r}; expected a number, 0 or more")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
