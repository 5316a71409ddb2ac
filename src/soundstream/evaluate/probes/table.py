"""Probes as lines of a table, for a terminal and for Markdown: a line a question, a column a bit rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from soundstream.evaluate.report import DASH

Row = dict[str, Any]
Line = list[str]

LEGEND = """Levels are out over in. A tone has two: at its own frequency, and of all that comes out; where they differ,
noise is in its place. Harmonic correlation of speech is 1 where every harmonic of the voice is kept, 0 where noise of
that level stands for them. Noise is correlated, above 3 kHz, with itself one to eight frames later: 1 is a buzz; its
pulse is how far its power rises and falls within a frame. A click's time is the shortest that holds 90 % of its energy.
A sweep is kept where its line comes out within 3 dB of its level. Hard sounds are beeps, constants, pulses and gated
noise at full scale."""

_SOUNDS = (  # what is measured, what a perfect codec gives, key, format
    ("noise above 3 kHz, dB", "0.0", "noise_level_db", "+z.1f"),
    ("noise, again after frames", "0.00", "noise_correlation", "z.2f"),
    ("noise, pulse of frames", "0.00", "noise_pulse", ".2f"),
    ("silence, dBFS", "< -96", "silence_level_dbfs", ".0f"),
    ("click of 0.9", "0.90", "click_peak", ".2f"),
    ("click of 0.9, ms", "0.0", "click_spread_ms", ".1f"),
    ("square wave of 1", "1.00", "square_peak", ".2f"),
    ("sweep kept", "100%", "sweep_kept", ".0%"),
    ("worst peak of hard sounds", "1.00", "worst_peak", ",.2f"),
)


def head(report: dict[str, Any]) -> Line:
    """Names of the columns: one of words, what a perfect codec gives, and one for each bit rate."""
    return ["probe", "perfect", *(f"{bitrate:,} bit/s" for bitrate in report["bitrates"])]


def lines(report: dict[str, Any], words: Sequence[str] = ()) -> list[Line]:
    """Cells of every line, or of those whose first word is among `words`, such as `tone` or `speech`.

    Speech and harmonics have no line where no speech was measured.
    """
    tones = _lines(report["tones"], "0, 0", lambda row: f"tone {row['hertz']:,} Hz, dB")
    speech = _lines(report["speech"], "0.0", lambda row: f"speech {_band(row)}, dB")
    harmonics = _lines(report["harmonics"], "1.00", lambda row: f"harmonics {_band(row)}")
    sounds = [
        [probe, perfect, *(_number(row[key], form) for row in report["sounds"])]
        for probe, perfect, key, form in _SOUNDS
    ]
    found = [*tones, *speech, *harmonics, *sounds]
    return [line for line in found if not words or line[0].replace(",", "").split()[0] in words]


def _lines(rows: Sequence[Row], perfect: str, name: Callable[[Row], str]) -> list[Line]:
    """The rows of each name side by side: they are in the order of the bit rates."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(name(row), []).append(_cell(row))
    return [[name, perfect, *cells] for name, cells in found.items()]


def _cell(row: Row) -> str:
    if "tone_db" in row:
        return f"{_number(row['tone_db'], '+z.1f')}, {_number(row['total_db'], '+z.1f')}"
    if "level_db" in row:
        return _number(row["level_db"], "+z.1f")
    return _number(row["correlation"] and row["correlation"]["mean"], "z.2f")


def _number(value: float | None, form: str) -> str:
    return DASH if value is None else format(value, form)


def _band(row: Row) -> str:
    return f"{row['low_hz'] / 1000:g}-{row['high_hz'] / 1000:g} kHz"
