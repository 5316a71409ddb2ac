"""A picture of speech over networks that lose packets: quality over the share that is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soundstream.analysis import drawing
from soundstream.evaluate.metrics import REGISTRY


def draw(path: Path, report: dict[str, Any]) -> None:
    """A panel for each metric and kind of loss, a curve for each system; where nothing is lost both kinds are one."""
    metrics = [name for name in report["rows"][0]["means"] if name in REGISTRY]
    figure, axes = drawing.panels(2 * len(metrics), len(metrics), 4.2, 3.2, sharex=True)
    cells = [(kind, name) for kind in ("random", "bursts") for name in metrics]
    for axis, (kind, name) in zip(axes, cells, strict=True):
        for system in dict.fromkeys(row["system"] for row in report["rows"]):
            axis.errorbar(*_curve(report["rows"], system, kind, name), marker="o", capsize=3, label=system)
        axis.set(title=f"{REGISTRY[name].title}, {kind}", xlabel="lost, %")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    drawing.save(figure, path)


def _curve(rows: list[dict[str, Any]], system: str, kind: str, name: str) -> tuple[list[float], ...]:
    """Shares in percent, means and standard errors."""
    own = [row for row in rows if row["system"] == system and (row["losses"] == kind or not row["rate"])]
    means = [row["means"][name] for row in own]
    return (
        [100 * row["rate"] for row in own],
        [mean["mean"] for mean in means],
        [mean["standard_error"] or 0 for mean in means],
    )
