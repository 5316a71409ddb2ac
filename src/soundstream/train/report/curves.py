"""Curves of training runs, overlaid: losses, gradients, validation figures, health of latents and codebooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from soundstream.analysis import drawing
from soundstream.analysis.harmonics import BANDS_HZ, NAMES
from soundstream.train.report.records import LOSSES, RunLog

POINTS = 40
"""A noisy curve is shown as its mean over a fortieth of its points, above the points themselves."""
TITLES = {
    "mel_relative": "mel, relative",
    "mel_log": "mel, logarithmic",
    "gradient_norm": "gradient norm before clipping",
    "gradient_norm_discriminator": "gradient norm of the discriminators",
    "learning_rate": "learning rate",
    "steps_per_s": "steps per second",
    "rank": "effective rank of the latents",
    "latent_std": "scale of the latents before normalization",
    "noise_left_db": "noise that the switch leaves in the latents, dB",
}
BY_COUNT = {
    "snr_db": "waveform SNR by codebooks in use, dB",
    "mel_log": "log-mel distance by codebooks in use",
    **{
        f"harmonics_{name}": f"harmonic correlation, {low / 1000:g}-{high / 1000:g} kHz"
        for name, (low, high) in zip(NAMES, BANDS_HZ, strict=True)
    },
}
NORMS = ("gradient_norm", "gradient_norm_discriminator")
EVENTS_NAMED = 8

Draw = Callable[[Any, RunLog, "Style"], None]


@dataclass(frozen=True)
class Style:
    """How a run is drawn: in its own colour beside others, in a scale of colours when it is alone."""

    number: int
    alone: bool

    @property
    def colour(self) -> str:
        return f"C{self.number}"

    def shade(self, share: float) -> dict[str, Any]:
        """Look of one curve of several of a run; 0 is the first, 1 the last."""
        if self.alone:
            return {"color": drawing.scale_colour(share)}
        return {"color": self.colour, "alpha": 0.3 + 0.7 * share}


def draw(file: BinaryIO, logs: Sequence[RunLog]) -> int:
    """Write a PNG of all runs, overlaid: a panel for each figure that any of them has. Returns the number of panels.

    Dotted lines mark events; the first of them are told below the panels.
    """
    panels = _panels(logs)
    figure, axes = drawing.panels(len(panels), 3, 5, 3.2)
    for axis, (title, draw_one) in zip(axes, panels, strict=True):
        for number, log in enumerate(logs):
            draw_one(axis, log, Style(number, len(logs) == 1))
        _finish(axis, title, logs)
    if told := _events(logs):
        figure.supxlabel("\n".join(told), fontsize=8, ha="left", x=0.01)
    drawing.write(figure, file)
    return len(panels)


def _panels(logs: Sequence[RunLog]) -> list[tuple[str, Draw]]:
    """Title and drawing of each panel, in order; those for which no run has a figure are left out."""
    pale = ", pale: first" if len(logs) > 1 else ""
    terms = [term for term in LOSSES if _any(logs, term)]
    found: list[tuple[str, Draw]] = [
        (f"loss: {TITLES.get(term, term)}", _noisy(term, log_scale=True)) for term in terms
    ]
    found += [(TITLES[name], _noisy(name, log_scale=True)) for name in NORMS if _any(logs, name)]
    if any(_gradients(log) for log in logs):
        found.append((f"gradient norm of each term{pale}", _by_term))
    counts = {count for log in logs for count in log.counts()}
    found += [
        (title + pale, _by_count(kind))
        for kind, title in BY_COUNT.items()
        if any(_any(logs, f"{kind}_{count}") for count in counts)
    ]
    found += [(TITLES[name], _validated(name)) for name in ("rank", "latent_std", "noise_left_db") if _any(logs, name)]
    found += [
        (f"{name} of each codebook{pale}", _by_codebook(name))
        for name in ("perplexity", "dead")
        if _any_list(logs, name)
    ]
    found += [(TITLES[name], _noisy(name)) for name in ("learning_rate", "steps_per_s") if _any(logs, name)]
    return found


def _any(logs: Sequence[RunLog], name: str) -> bool:
    return any(log.series(name)[0] or log.validated(name)[0] for log in logs)


def _any_list(logs: Sequence[RunLog], name: str) -> bool:
    return any(entry.get(name) for log in logs for entry in log.validation)


def _noisy(name: str, log_scale: bool = False) -> Draw:
    def draw_one(axis: Any, log: RunLog, style: Style) -> None:
        steps, values = log.series(name)
        if log_scale and max(values, default=0) > 0 <= min(values):
            axis.set_yscale("log")
            values = [value or np.nan for value in values]
        axis.plot(steps, values, ".", color=style.colour, markersize=2, alpha=0.35)
        axis.plot(steps, smoothed(values), color=style.colour, linewidth=1.5, label=log.name)

    return draw_one


def _validated(name: str) -> Draw:
    def draw_one(axis: Any, log: RunLog, style: Style) -> None:
        axis.plot(*log.validated(name), ".-", color=style.colour, label=log.name)

    return draw_one


def _by_count(kind: str) -> Draw:
    def draw_one(axis: Any, log: RunLog, style: Style) -> None:
        counts = log.counts()
        for i, count in enumerate(counts):
            look = style.shade(i / max(1, len(counts) - 1))
            label = f"{count}" if style.alone else log.name if i == len(counts) - 1 else None
            axis.plot(*log.validated(f"{kind}_{count}"), ".-", label=label, **look)

    return draw_one


def _by_codebook(name: str) -> Draw:
    def draw_one(axis: Any, log: RunLog, style: Style) -> None:
        entries = [entry for entry in log.validation if entry.get(name)]
        steps = [entry["step"] for entry in entries]
        books = min((len(entry[name]) for entry in entries), default=0)
        for q in range(books):
            named = q in {0, books // 2, books - 1} if style.alone else q == books - 1
            label = (f"codebook {q + 1}" if style.alone else log.name) if named else None
            axis.plot(steps, [entry[name][q] for entry in entries], label=label, **style.shade(q / max(1, books - 1)))

    return draw_one


def _by_term(axis: Any, log: RunLog, style: Style) -> None:
    terms = _gradients(log)
    axis.set_yscale("log")
    for i, term in enumerate(terms):
        steps, values = log.series(f"gradient_{term}")
        label = term if style.alone else log.name if i == len(terms) - 1 else None
        axis.plot(steps, smoothed(values), label=label, **style.shade(i / max(1, len(terms) - 1)))


def _gradients(log: RunLog) -> list[str]:
    names = {key for entry in log.training for key in entry if key.startswith("gradient_")} - {*NORMS}
    return sorted(name.removeprefix("gradient_") for name in names)


def smoothed(values: Sequence[float]) -> NDArray[np.float64]:
    """Running mean over a fortieth of the points; what is no number is left out of it."""
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        return numbers
    good = np.isfinite(numbers)
    kernel = np.ones(max(1, len(numbers) // POINTS))
    total, weight = (np.convolve(x, kernel, "same") for x in (np.where(good, numbers, 0), good.astype(float)))
    return np.where(weight > 0.5, total / np.maximum(weight, 1), np.nan)


def _finish(axis: Any, title: str, logs: Sequence[RunLog]) -> None:
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("step", fontsize=8)
    axis.grid(alpha=0.3)
    if axis.get_yscale() == "log":
        for which in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
            which(drawing.plain_numbers())
    for number, log in enumerate(logs):
        for event in log.events:
            axis.axvline(event["step"], linestyle=":", linewidth=1, color=f"C{number}" if len(logs) > 1 else "0.4")
    labels = axis.get_legend_handles_labels()[1]
    if len(logs) > 1 or len(labels) > 1:
        axis.legend(fontsize=7, loc="upper right", framealpha=0.6)


def _events(logs: Sequence[RunLog]) -> list[str]:
    """The first events in words, a line each, and how many more there are."""
    told = [f"{log.name}, step {event['step']:,}: {event['event']}" for log in logs for event in log.events]
    more = len(told) - EVENTS_NAMED
    return told[:EVENTS_NAMED] + ([f"and {more} more"] if more > 0 else [])
