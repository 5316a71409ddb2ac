"""The picture of a codec's probes: tones, speech by band, harmonics, and a sweep before and after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from soundstream.analysis import drawing
from soundstream.codec import Codec
from soundstream.evaluate.probes.probes import TOLERANCE_DB, Report, coder, sweep

_MIN_DB = -60
"""Lower end of the axes of levels."""


def draw(path: Path, report: Report, codec: Codec) -> None:
    """A panel for each kind of probe that was measured; the sweep is coded again, at the middle bit rate."""
    measured = [panel for panel in (_draw_tones, _draw_speech, _draw_harmonics) if report[_SOURCE[panel]]]
    figure, axes = drawing.panels(len(measured) + 2, 3, 5.2, 3.6)
    for panel, axis in zip(measured, axes, strict=False):
        panel(axis, report)
    rate = codec.spec.sample_rate
    bitrate = report["bitrates"][len(report["bitrates"]) // 2]
    given = sweep(rate)
    drawing.draw_spectrogram(axes[-2], "sweep, original", given, rate)
    drawing.draw_spectrogram(axes[-1], f"sweep, {bitrate:,} bit/s", coder(codec, bitrate)(given), rate)
    figure.suptitle(f"model {report['artifact']}")
    drawing.save(figure, path)


def _draw_tones(axis: Any, report: Report) -> None:
    for number, bitrate in enumerate(report["bitrates"]):
        rows = [row for row in report["tones"] if row["bitrate"] == bitrate]
        hertz, colour = [row["hertz"] for row in rows], _colour(number, report)
        levels = [max(row["tone_db"], _MIN_DB) for row in rows]
        axis.plot(hertz, levels, marker="o", markersize=3, color=colour, label=f"{bitrate:,} bit/s")
        axis.plot(hertz, [row["total_db"] for row in rows], linestyle=":", color=colour)
    axis.axhspan(-TOLERANCE_DB, TOLERANCE_DB, color="0.9", zorder=0)
    axis.set(title="single tones (dotted: all that comes out)", xlabel="Hz", ylabel="out / in, dB", xscale="log")
    axis.xaxis.set_major_formatter(drawing.plain_numbers())
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _draw_speech(axis: Any, report: Report) -> None:
    _draw_bars(axis, report, "speech", lambda row: row["level_db"])
    axis.axhspan(-TOLERANCE_DB, TOLERANCE_DB, color="0.9", zorder=0)
    axis.set(title="speech by band", ylabel="out / in, dB")


def _draw_harmonics(axis: Any, report: Report) -> None:
    _draw_bars(axis, report, "harmonics", lambda row: row["correlation"] and row["correlation"]["mean"])
    axis.set(title="harmonic correlation of speech", ylim=(min(0, axis.get_ylim()[0]), 1))


def _draw_bars(axis: Any, report: Report, source: str, value: Callable[[dict[str, Any]], float | None]) -> None:
    """Bars of every band, one for each bit rate; a band without a value has none."""
    width = 0.8 / len(report["bitrates"])
    for number, bitrate in enumerate(report["bitrates"]):
        rows = [row for row in report[source] if row["bitrate"] == bitrate]
        places = [i + (number + 0.5) * width - 0.4 for i in range(len(rows))]
        heights = [value(row) or 0 for row in rows]
        axis.bar(places, heights, width, color=_colour(number, report), label=f"{bitrate:,} bit/s")
        axis.set_xticks(range(len(rows)), [f"{row['low_hz'] / 1000:g}-{row['high_hz'] / 1000:g}" for row in rows])
    axis.set_xlabel("kHz")
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(alpha=0.3, axis="y")


def _colour(number: int, report: Report) -> Any:
    return drawing.scale_colour(number / max(1, len(report["bitrates"]) - 1))


_SOURCE = {_draw_tones: "tones", _draw_speech: "speech", _draw_harmonics: "harmonics"}
"""List of the report that a panel shows."""
