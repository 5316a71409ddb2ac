"""A training run on a terminal: one line that moves, and above it what is worth keeping in sight."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

Entry = dict[str, Any]

TERMS = ("waveform", "mel", "adversarial", "feature", "discriminator")
SHORT_CUT = 8
"""Codebooks in use of the validation figures that are shown."""


def print_line(entry: Entry) -> None:
    """A log line as JSON on stdout."""
    print(json.dumps(entry), flush=True)


class Display:
    """Progress of a run; use it as a context manager and give it every log line.

    Args:
        step: at which the run starts or goes on.
        total_steps: at which it ends.
        time_limit_s: after which it ends instead, unless it is 0.
    """

    def __init__(self, step: int, total_steps: int, time_limit_s: float, console: Console | None = None) -> None:
        self.by_clock = time_limit_s > 0
        columns = TextColumn("{task.description}"), BarColumn(bar_width=20), _TimeColumn(time_limit_s)
        self.progress = Progress(*columns, TextColumn("{task.fields[figures]}"), console=console)
        total, completed = (1, 0) if self.by_clock else (total_steps, step)
        self.task = self.progress.add_task(_step(step), total=total, completed=completed, figures="")

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def show(self, entry: Entry) -> None:
        """A training line moves the bar; a validation and an event stay above it."""
        if "event" in entry:
            self._keep(f"step {entry['step']:,}: {entry['event']}")
        elif "rank" in entry:
            self._keep(f"step {entry['step']:,}: {validated(entry)}")
        else:
            self.progress.update(self.task, description=_step(entry["step"]), figures=trained(entry))
        if (reached := entry.get("share") if self.by_clock else entry["step"]) is not None:
            self.progress.update(self.task, completed=reached)

    def _keep(self, text: str) -> None:
        self.progress.console.print(Text(text))


def trained(entry: Entry) -> str:
    """Speed and losses of a training line."""
    speed = [f"{entry['steps_per_s']:.3g} steps/s"] if "steps_per_s" in entry else []
    return ", ".join(speed + [f"{term} {entry[term]:.3g}" for term in TERMS if term in entry])


def validated(entry: Entry) -> str:
    """The main figures of a validation line."""
    counts = sorted(int(name.removeprefix("snr_db_")) for name in entry if name.startswith("snr_db_"))
    shown = [count for count in (1, SHORT_CUT) if count in counts] or counts[-1:]
    figures = [
        f"{count} codebook{'s' * (count > 1)}: SNR {entry[f'snr_db_{count}']} dB, log-mel {entry[f'mel_log_{count}']}"
        for count in shown
    ]
    return "; ".join([*figures, f"rank {entry['rank']}"])


class _TimeColumn(ProgressColumn):
    """Time that is left of the limit; without one, time that has passed."""

    def __init__(self, time_limit_s: float) -> None:
        super().__init__()
        self.time_limit_s = time_limit_s

    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0
        if not self.time_limit_s:
            return Text(f"{_clock(elapsed)} passed")
        return Text(f"{_clock(max(0, self.time_limit_s - elapsed))} left")


def _step(step: int) -> str:
    return f"step {step:,}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
