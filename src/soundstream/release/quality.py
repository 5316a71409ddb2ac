"""Measured quality of an artifact, and of the one that it is to replace, on the same clips."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from soundstream.errors import ConfigError
from soundstream.evaluate import evaluation
from soundstream.evaluate.evaluation import Settings
from soundstream.evaluate.metrics import DEFAULT, REGISTRY
from soundstream.evaluate.report import cell
from soundstream.evaluate.statistics import Mean, mean_of, paired_difference

Report = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Change:
    """One metric of one codec on the clips of one class, before and after."""

    content_class: str
    codec: str
    metric: str
    before: Mean
    after: Mean
    difference: Mean
    """After less before, clip by clip."""


def settings(clips: Path, model: Path, codecs: str, metrics: tuple[str, ...] | None, limit: int | None) -> Settings:
    """Settings of an evaluation of one model."""
    return Settings(str(clips), codecs, metrics or tuple(DEFAULT), str(model), None, limit, None, None)


def measure(wanted: Settings, folder: Path, jobs: int, progress: Progress) -> Report:
    """Evaluate into a report folder, where rows that were measured before are taken up; returns its report.json."""
    prepared = evaluation.prepare(wanted)
    evaluation.claim(prepared, folder, force=True)
    evaluation.run(prepared, folder, jobs, progress)
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def measure_former(wanted: Settings, artifact: Path, folder: Path, jobs: int, progress: Progress) -> Report | None:
    """The same for the artifact that is in the place, our own codec alone; None if it lacks one of the rates."""
    ours = ",".join(word for word in wanted.codecs.split(",") if word.strip().startswith("soundstream:"))
    try:
        return measure(replace(wanted, model=str(artifact), codecs=ours), folder, jobs, progress)
    except ConfigError:
        return None


def changes(before: Report, after: Report) -> list[Change]:
    """What both have measured, in the order of the later report."""
    found = []
    for content_class, codec in dict.fromkeys((row["content_class"], row["codec"]) for row in after["rows"]):
        for metric in REGISTRY:
            old, new = (_values(report["rows"], content_class, codec, metric) for report in (before, after))
            shared = sorted(old.keys() & new.keys())
            means = [mean_of([values[clip] for clip in shared]) for values in (old, new)]
            difference = paired_difference(new, old)
            if means[0] and means[1] and difference:
                found.append(Change(content_class, codec, metric, means[0], means[1], difference))
    return found


def table(found: Iterable[Change]) -> Table:
    """Before and after as a table for a terminal; a difference that is an improvement is green, else red."""
    right = [Column(name, justify="right") for name in ("before", "after", "difference")]
    shown = Table("class", "codec", "metric", *right)
    for change in found:
        metric, gain = REGISTRY[change.metric], change.difference.mean
        better = gain > 0 if metric.higher_is_better else gain < 0
        style = "dim" if gain == 0 else "green" if better else "red"
        means = [cell(mean, mean.n, digits=3) for mean in (change.before, change.after)]
        difference = f"[{style}]{cell(change.difference, change.difference.n, 3, '+')}[/{style}]"
        shown.add_row(change.content_class, change.codec, metric.title, *means, difference)
    return shown


def _values(rows: list[dict[str, Any]], content_class: str, codec: str, metric: str) -> dict[str, float]:
    chosen = [row for row in rows if (row["content_class"], row["codec"]) == (content_class, codec)]
    return {row["clip"]: row["metrics"][metric] for row in chosen if row["metrics"].get(metric) is not None}
