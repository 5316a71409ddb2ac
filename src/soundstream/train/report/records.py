"""What a run's log says: its lines by kind, the newest word on each step, and a summary of it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundstream.errors import ConfigError

LOG = "log.jsonl"
LOSSES = (
    *("waveform", "mel", "mel_relative", "mel_log", "levels", "complex", "harmonic", "commitment", "rate"),
    *("adversarial", "feature", "discriminator", "latents", "spectra"),
)
"""Names of loss terms in training lines, in the order in which they are shown."""

Entry = dict[str, Any]


@dataclass(frozen=True)
class RunLog:
    """The lines of a log by kind, each kind by step."""

    name: str
    training: list[Entry] = field(default_factory=list)
    validation: list[Entry] = field(default_factory=list)
    events: list[Entry] = field(default_factory=list)
    """What happened besides: `event` says it."""
    unreadable: int = 0
    """Lines that are no JSON, such as one that a stop cut short."""

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of a training figure, where it is a number."""
        return _series(self.training, name)

    def validated(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of a validation figure."""
        return _series(self.validation, name)

    def counts(self) -> list[int]:
        """Numbers of codebooks for which validation has figures."""
        names = {key for entry in self.validation for key in entry if key.startswith("snr_db_")}
        return sorted(int(name.removeprefix("snr_db_")) for name in names)


def read_log(run: Path) -> RunLog:
    """The log of a run folder, or of a log file.

    A run that was resumed from an earlier step repeats steps: the later lines count, and what the log says of the steps
    that were given up is left out. Events stay.

    Raises:
        ConfigError: there is no log, or none of its lines can be read.
    """
    path = run / LOG if run.is_dir() else run
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; give a run folder of `soundstream train`") from error
    entries = [entry for entry in map(_parse, lines) if entry]
    if not entries:
        raise ConfigError(f"{path} holds no log line; expected JSON objects that have a step")
    kinds: dict[str, dict[int, Entry]] = {"training": {}, "validation": {}}
    events = [entry for entry in entries if "event" in entry]
    for entry in (entry for entry in entries if "event" not in entry):
        for kept in kinds.values():
            while kept and next(reversed(kept)) > entry["step"]:
                kept.popitem()
        kinds["validation" if "rank" in entry else "training"][entry["step"]] = entry
    name = path.parent.resolve().name if path.name == LOG else path.stem
    training, validation = (list(kept.values()) for kept in kinds.values())
    return RunLog(name, training, validation, events, unreadable=len(lines) - len(entries))


def summary(log: RunLog) -> Entry:
    """The log in short, as plain data: where it stands, the last figures, events."""
    return {
        "run": log.name,
        "step": max(entry["step"] for entry in (*log.training, *log.validation, *log.events)),
        "training_lines": len(log.training),
        "unreadable_lines": log.unreadable,
        "last_training": _finite(log.training[-1]) if log.training else {},
        "last_validation": _finite(log.validation[-1]) if log.validation else {},
        "events": log.events,
    }


def thinned(entries: Sequence[Entry], most: int) -> list[Entry]:
    """At most so many entries, evenly spread over steps as far as there are any; the last one is always there."""
    if not entries:
        return []
    apart = (entries[-1]["step"] - entries[0]["step"]) / most
    kept: list[Entry] = []
    for entry in reversed(entries):
        if not kept or kept[-1]["step"] - entry["step"] >= apart:
            kept.append(entry)
    return kept[:most][::-1]


def _finite(entry: Entry) -> Entry:
    """None where a figure is no number: JSON has no word for it."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in entry.items()}


def _parse(line: str) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("step"), int) else None


def _series(entries: Sequence[Entry], name: str) -> tuple[list[int], list[float]]:
    found = [(entry["step"], entry[name]) for entry in entries if isinstance(entry.get(name), int | float)]
    return [step for step, _ in found], [value for _, value in found]
