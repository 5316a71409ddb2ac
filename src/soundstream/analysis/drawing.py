"""Drawing that evaluation and training share: spectrograms side by side, and figures that are written whole.

Needs matplotlib, from the extra `plot`; without pyplot, so that a program's own backend and figures stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from soundstream.arrays import Array
from soundstream.system.files import atomic_output

_COLUMNS = 4
_LOUD, _QUIET = -30, -130
"""Ends of the colour scale, dB of full scale per Hz."""


def panels(count: int, columns: int, width: float, height: float, **options: Any) -> tuple[Any, list[Any]]:
    """A figure with `count` axes in rows of at most `columns`; width and height are those of one, in inches."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    size = width * columns, height * rows
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


def scale_colour(share: float) -> Any:
    """A colour between dark and light; 0 is the first of a series, 1 its last."""
    return matplotlib.colormaps["viridis"](0.9 * share)


def plain_numbers() -> Any:
    """Labels of a logarithmic axis as plain numbers, where there is room for them."""
    return _Plain(minor_thresholds=(2, 0.5))


def spectrograms(path: Path, rows: Mapping[str, Sequence[tuple[str, Array, int]]]) -> None:
    """A row for each clip; each cell is a title, audio `[samples]` and its sample rate in Hz."""
    cells = [(f"{clip}\n{title}", pcm, rate) for clip, row in rows.items() for title, pcm, rate in row]
    columns = max(len(row) for row in rows.values()) if len(rows) > 1 else _COLUMNS
    figure, axes = panels(len(cells), columns, 3.2, 2.7, sharey=True)
    for axis, cell in zip(axes, cells, strict=True):
        draw_spectrogram(axis, *cell)
    save(figure, path)


def write(figure: Any, file: BinaryIO) -> None:
    """Write a figure as PNG into an open file."""
    figure.savefig(file, dpi=110, format="png")


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG, beside its place and then renamed."""
    with atomic_output(path, force=True) as file:
        write(figure, file)


class _Plain(LogFormatter):
    def __call__(self, x: float, pos: Any = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def draw_spectrogram(axis: Any, title: str, pcm: Array, sample_rate: int) -> None:
    window = min(1024, len(pcm))
    overlap = window * 3 // 4
    dithered = pcm + np.random.default_rng(0).normal(0, 1e-6, len(pcm))  # silence has no logarithm
    axis.specgram(dithered, NFFT=window, noverlap=overlap, Fs=sample_rate, vmin=_QUIET, vmax=_LOUD, cmap="magma")
    axis.set_title(title, fontsize=9)
    ticks = np.arange(0, sample_rate / 2 + 1, 4000)
    axis.set_yticks(ticks, [f"{tick / 1000:g} kHz" for tick in ticks])
    axis.set_xlabel("seconds", fontsize=8)
