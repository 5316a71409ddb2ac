"""A report of an evaluation: one JSON with every row and where it comes from, and Markdown tables to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from soundstream.evaluate.metrics import REGISTRY
from soundstream.evaluate.rows import Row
from soundstream.evaluate.statistics import Mean, mean_of, paired_difference
from soundstream.system.files import atomic_output

DASH = "–"
_LEGEND = (
    "Mean ± standard error over n clips; (n) beside a mean that has fewer. Bit/s are measured, container included. "
    f"{DASH}: the metric means nothing there, or had no answer."
)
CLASS_ORDER = ("speech", "noisy-speech", "music", "ambient")


@dataclass(frozen=True)
class Summary:
    """One codec on the clips of one class."""

    content_class: str
    codec: str
    n: int
    """Clips."""
    bitrate: Mean | None
    metrics: dict[str, Mean | None]
    """None where the metric means nothing for the class or had no answer for any clip."""
    differences: dict[str, Mean | None]
    """The same, less the baseline's values, clip by clip; empty without a baseline."""


def summarize(rows: Sequence[Row], names: Sequence[str], baseline: str | None) -> list[Summary]:
    """A summary for each class and codec, in the order of the rows."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.content_class, row.codec), []).append(row)
    made = []
    for (content_class, codec), group in groups.items():
        against = groups.get((content_class, baseline or ""), [])
        pairs = {name: (values(group, name), values(against, name)) for name in names}
        made.append(
            Summary(
                content_class,
                codec,
                len(group),
                mean_of([row.bitrate for row in group if row.bitrate is not None]),
                {name: mean_of([*own.values()]) for name, (own, _) in pairs.items()},
                {name: paired_difference(own, other) for name, (own, other) in pairs.items()} if against else {},
            )
        )
    return made


def values(rows: Sequence[Row], name: str) -> dict[str, float]:
    """The metric's value for each clip that has one."""
    found = {row.clip: row.metrics.get(name) for row in rows}
    return {clip: value for clip, value in found.items() if value is not None}


def classes(summaries: Sequence[Summary]) -> list[str]:
    """Content classes, the usual ones first."""
    found = {summary.content_class for summary in summaries}
    return [name for name in CLASS_ORDER if name in found] + sorted(found - {*CLASS_ORDER})


def write_json(path: Path, about: dict, rows: Sequence[Row], summaries: Sequence[Summary]) -> None:
    """Everything that was measured, after what tells where it comes from."""
    report = about | {"summary": [asdict(s) for s in summaries], "rows": [asdict(row) for row in rows]}
    with atomic_output(path, force=True) as file:
        file.write(json.dumps(report, indent=1, ensure_ascii=False).encode() + b"\n")


def write_markdown(path: Path, about: dict, summaries: Sequence[Summary], names: Sequence[str]) -> None:
    """Tables for each class: what was measured, and differences to the baseline if there is one."""
    with atomic_output(path, force=True) as file:
        file.write(markdown(about, summaries, names).encode())


def markdown(about: dict, summaries: Sequence[Summary], names: Sequence[str]) -> str:
    """The report as Markdown; every mean stands beside its number of clips."""
    baseline = about["settings"]["baseline"]
    parts = [
        "# Evaluation",
        "",
        *(f"- {name}: {about[name]}" for name in ("command", "commit", "artifact", "date")),
        "",
    ]
    for content_class in classes(summaries):
        group = [s for s in summaries if s.content_class == content_class]
        parts += [f"## {content_class}", "", *_table(group, names, "metrics"), ""]
        if any(s.differences for s in group):
            others = [s for s in group if s.codec != baseline]
            parts += [f"Differences to {baseline}, clip by clip:", "", *_table(others, names, "differences"), ""]
    parts += [_LEGEND, ""]
    parts += [f"- {REGISTRY[n].title}: {_range(n)}. {REGISTRY[n].source}." for n in names]
    return "\n".join(parts) + "\n"


def cell(mean: Mean | None, n: int, digits: int = 2, sign: str = "") -> str:
    """A mean with its error, and with its own n where that is not the row's."""
    if mean is None:
        return DASH
    text = f"{mean.mean:{sign},.{digits}f}"
    if mean.standard_error is not None:
        text += f" ± {mean.standard_error:,.{digits}f}"
    return text if mean.n == n else f"{text} ({mean.n})"


def _table(group: Sequence[Summary], names: Sequence[str], what: str) -> list[str]:
    heads = ["codec", "n", "bit/s", *(REGISTRY[name].title for name in names)]
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    sign = "+" if what == "differences" else ""
    for s in group:
        means = getattr(s, what)
        cells = [cell(means.get(name), s.n, _digits(name), sign) for name in names]
        lines.append("| " + " | ".join([s.codec, str(s.n), cell(s.bitrate, s.n, 0), *cells]) + " |")
    return lines


def _digits(name: str) -> int:
    return 3 if name in ("stoi", "log-mel") else 2


def _range(name: str) -> str:
    metric = REGISTRY[name]
    return f"{metric.low:g} to {metric.high:g}, {'higher' if metric.higher_is_better else 'lower'} is better"
