"""Pictures of an evaluation: rate-quality curves, and spectrograms side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_COLUMNS = 4
_LOUD, _QUIET = -30, -130
"""Ends of the colour scale, dB of full scale per Hz."""


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
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(5 * columns, 3.8 * rows), layout="constrained", squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (name, points) in zip(axes.flat, panels.items(), strict=False):
        _draw_curves(axis, points)
        axis.set_title(name, fontsize=11)
    if axes.flat[0].get_legend_handles_labels()[0]:  # none where all are anchors
        axes.flat[0].legend(fontsize=8)
    figure.suptitle(title)
    _save(figure, path)


def spectrograms(path: Path, rows: Mapping[str, Sequence[tuple[str, Array, int]]]) -> None:
    """A row for each clip; each cell is a title, audio `[samples]` and its sample rate in Hz."""
    cells = [(f"{clip}\n{title}", pcm, rate) for clip, row in rows.items() for title, pcm, rate in row]
    columns = max(len(row) for row in rows.values()) if len(rows) > 1 else min(_COLUMNS, len(cells))
    lines = math.ceil(len(cells) / columns)
    size = 3.2 * columns, 2.7 * lines
    figure, axes = plt.subplots(lines, columns, figsize=size, sharey=True, layout="constrained", squeeze=False)
    for axis in axes.flat[len(cells) :]:
        axis.set_visible(False)
    for axis, cell in zip(axes.flat, cells, strict=False):
        _draw_spectrogram(axis, *cell)
    _save(figure, path)


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


def _draw_spectrogram(axis: Any, title: str, pcm: Array, sample_rate: int) -> None:
    window = min(1024, len(pcm))
    overlap = window * 3 // 4
    dithered = pcm + np.random.default_rng(0).normal(0, 1e-6, len(pcm))  # silence has no logarithm
    axis.specgram(dithered, NFFT=window, noverlap=overlap, Fs=sample_rate, vmin=_QUIET, vmax=_LOUD, cmap="magma")
    axis.set_title(title, fontsize=9)
    ticks = np.arange(0, sample_rate / 2 + 1, 4000)
    axis.set_yticks(ticks, [f"{tick / 1000:g} kHz" for tick in ticks])
    axis.set_xlabel("seconds", fontsize=8)


def _save(figure: Any, path: Path) -> None:
    partial = path.with_suffix(".part.png")
    figure.savefig(partial, dpi=110)
    plt.close(figure)
    partial.replace(path)
