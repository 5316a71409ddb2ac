"""What a run writes down: a line a look, a validation or an event; and the figures of the steps in between."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soundstream.nn import distributed
from soundstream.train.report.records import LOG

Entry = dict[str, Any]
Report = Callable[[Entry], None]


class Log:
    """The file `log.jsonl` of a run folder; only the first of several processes writes."""

    def __init__(self, run: Path) -> None:
        self.path = run / LOG
        self.report: Report = lambda entry: None
        """Called with every line too."""

    def write(self, entry: Entry) -> None:
        """Add a line."""
        if distributed.rank() == 0:
            with self.path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            self.report(entry)

    def event(self, step: int, text: str) -> None:
        """Add a line that says what happened."""
        self.write({"step": step, "event": text})


class Tally:
    """Means of the figures of steps, kept on the device until someone asks."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._counts = Counter[tuple[str, ...]]()

    def add(self, figures: dict[str, Tensor]) -> None:
        """Count the figures of a step in; they may be other ones in each step."""
        names, values = tuple(figures), torch.stack(list(figures.values()))
        self._sums[names] = self._sums[names] + values if names in self._sums else values
        self._counts[names] += 1

    def take(self) -> dict[str, float]:
        """The mean of each figure since the last time, over the steps that had it and over all processes."""
        totals, counts = Counter[str](), Counter[str]()
        for names, sums in self._sums.items():
            for name, value in zip(names, distributed.mean(sums).tolist(), strict=True):
                totals[name] += value
                counts[name] += self._counts[names]
        self._sums.clear()
        self._counts.clear()
        return {name: rounded(total / counts[name]) for name, total in totals.items()}


def rounded(value: float) -> float:
    """Six digits: what a log needs."""
    return float(f"{value:.6g}")
