"""Pictures of an evaluation: rate-quality curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundstream.analysis import drawing


@dataclass(frozen=True)
class Point:
    """One codec at one bit rate; with no bit rate, an anchor."""

    codec: str
    bitrate: float | None
    """Measured bit/s."""
    value: float
    error: float
    """Standard error of the value."""

    @property
    def family(self) -> str:
        """Points of one family make a curve: `opus` of `opus:6000`."""
        return self.codec.partition(":")[0]


def rate_quality(path: Path, title: str, panels: Mapping[str, Sequence[Point]]) -> None:
    """A panel for each metric: value over measured bit rate, a curve a codec family, anchors as dashed lines."""
    figure, axes = drawing.panels(len(panels), 3, 5, 3.8)
    for axis, (name, points) in zip(axes, panels.items(), strict=True):
        _draw_curves(axis, points)
        axis.set_title(name, fontsize=11)
    if axes[0].get_legend_handles_labels()[0]:  # none where all are anchors
        axes[0].legend(fontsize=8)
    figure.suptitle(title)
    drawing.save(figure, path)


def _draw_curves(axis: Any, points: Sequence[Point]) -> None:
    for number, family in enumerate(dict.fromkeys(point.family for point in points)):
        own = sorted((p for p in points if p.family == family), key=lambda p: p.bitrate or 0)
        coded = [p for p in own if p.bitrate is not None]
        if coded:
            columns = [p.bitrate for p in coded], [p.value for p in coded], [p.error for p in coded]
            axis.errorbar(*columns, marker="o", markersize=4, capsize=3, label=family, color=f"C{number}")
        for anchor in (p for p in own if p.bitrate is None):
            axis.axhline(anchor.value, linestyle="--", linewidth=1, color="0.6")
            axis.annotate(anchor.codec, (1, anchor.value), xycoords=("axes fraction", "data"), ha="right", fontsize=7)
    axis.set_xscale("log")
    axis.set_xlabel("bit/s, measured")
    ticks = [r for r in (750, 1500, 3000, 6000, 12_000, 24_000, 48_000, 96_000) if _inside(r, axis.get_xlim())]
    axis.set_xticks(ticks, [f"{tick / 1000:g}k" for tick in ticks])
    axis.minorticks_off()
    axis.grid(alpha=0.3)


def _inside(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
