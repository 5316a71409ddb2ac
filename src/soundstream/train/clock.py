"""Time as the measure of a run: the share of its time limit that has passed, and what begins at which share."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from soundstream.errors import ConfigError

PACE_DECAY = 0.9
"""Share of the past in the running mean of a step's time."""


@dataclass(frozen=True)
class ClockConfig:
    """What begins when in a run with a time limit, as shares of it; they take the places of settings in steps."""

    trunk_from: float = 0.02
    """Takes the place of `trunk_from_step`."""
    quantize_from: float = 0.04
    """Takes the place of `quantize_from_step`."""
    shift: tuple[float, ...] = (0.05, 0.25)
    """Takes the place of `shift_steps`."""
    adversarial_from: float = 0.4
    """Takes the place of `adversarial_from_step`; 1 is never."""
    decay_from: float = 0.3
    """From here the rates fall to zero, as the half of a cosine; takes the place of `decay_steps`."""
    average: float = 0.01
    """Span of the moving average at most, where `ema_decay` would make it longer."""

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            ends = value if isinstance(value, tuple) else (value, value)
            if len(ends) != 2 or not 0 <= ends[0] <= ends[1] <= 1:
                raise ConfigError(f"clock {name} is {value}; expected shares from 0 to 1, the lower first")
        if self.decay_from == 1 or self.average == 0:
            raise ConfigError("clock decay_from must be less than 1, and average more than 0")


class Clock:
    """The share of a time limit that has passed.

    It is looked at once a step, so that a step has one share; several processes agree on what the first one sees.

    Args:
        limit_s: 0 is no limit, and a share that stays 0.
        elapsed_s: time of the limit that was used up before.
    """

    def __init__(self, limit_s: float, elapsed_s: float = 0.0) -> None:
        self.begin = time.monotonic() - elapsed_s
        self.end = self.begin + limit_s
        self.share = 0.0
        """At the last look."""
        self.pace = 0.0
        """Share that a step takes, as a running mean; 0 until it is known."""
        self._step: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether the time limit was reached at the last look."""
        return self.share >= 1

    @property
    def elapsed_s(self) -> float:
        """Time of the limit that is used up; 0 without a limit, and when it is over."""
        return 0.0 if self.end == self.begin or self.is_over else time.monotonic() - self.begin

    def look(self, step: int, agree: Callable[[float], float] = float) -> None:
        """Measure the share, before the step of this number.

        Args:
            agree: gives what all processes take for the share, from what this one sees.
        """
        if self.end == self.begin:
            return
        share = agree((time.monotonic() - self.begin) / max(self.end - self.begin, 1e-9))
        if self._step is not None and step > self._step:
            pace = max(0.0, share - self.share) / (step - self._step)
            self.pace = PACE_DECAY * self.pace + (1 - PACE_DECAY) * pace if self.pace else pace
        self.share, self._step = share, step

    def end_at(self, unix_s: float) -> None:
        """Move the end; a moment that has passed ends the run at the next look."""
        self.end = time.monotonic() + unix_s - time.time()
        if self.end <= self.begin:
            self.end = self.begin + 1e-9
