"""What a run does when: its phases, rates, weights and average, by its steps or by the clock.

    trunks       the trunks of SEANet learn
    quantized    the quantizer is no longer bypassed
    judged       the discriminators hear and learn
    followed     the generator follows them

Without a time limit these begin at steps. With one they begin at shares of it, and the rates fall to zero at its end. A
phase that was reached stays, in later runs too: whoever goes on from a state begins where it was, at the full rate.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from soundstream.train.checkpoint import Progress
from soundstream.train.config import TrainConfig

Ends = tuple[int | float, ...]


class Phase(NamedTuple):
    """What a step consists of: all steps of a phase compute the same, with other numbers."""

    trunks: bool = True
    quantized: bool = True
    judged: bool = False
    followed: bool = False
    measured: bool = True
    """Whether the balancer measures the norms of the gradients."""


class Schedule:
    """Answers for one run; `progress` is always that of the step to come.

    Args:
        config: the run's settings; with `time_limit_s` the clock decides.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config, self.by_clock = config, config.time_limit_s > 0

    def entered(self, progress: Progress, share: float) -> Progress:
        """The progress with the phases that begin with this step, but for the codebooks, which have to be made.

        Args:
            share: of the time limit that has passed.
        """
        config = self.config
        progress = dataclasses.replace(progress, reached=max(progress.reached, share))
        steps, shares = config.adversarial_from_step, config.clock.adversarial_from
        judged = progress.discriminator_fresh_from is not None
        if config.is_adversarial and not judged and self._due(progress, steps, shares):
            return dataclasses.replace(progress, discriminator_fresh_from=progress.step)
        return progress

    def wants_codebooks(self, progress: Progress) -> bool:
        """Whether k-means has to start the codebooks now; the stages after the codec's leave them as they are."""
        due = self._due(progress, self.config.quantize_from_step, self.config.clock.quantize_from)
        return due and not progress.quantized and self.config.stage == "codec"

    def phase(self, progress: Progress) -> Phase:
        """What the step consists of."""
        config, fresh_from = self.config, progress.discriminator_fresh_from
        judged = fresh_from is not None and config.is_adversarial and progress.step % config.discriminator_every == 0
        return Phase(
            trunks=self._due(progress, config.trunk_from_step, config.clock.trunk_from),
            quantized=bool(progress.quantized),
            judged=judged,
            followed=judged and progress.step >= (fresh_from or 0) + config.discriminator_warmup_steps,
            measured=progress.step % config.loss.balance_every == 0,
        )

    def rate(self, progress: Progress, share: float) -> float:
        """Learning rate of the generator."""
        settings = self.config.optimizer
        adversarial = self.config.is_adversarial and progress.discriminator_fresh_from is not None
        peak = (adversarial and settings.adversarial_learning_rate) or settings.learning_rate
        return peak * settings.rise(progress.step - progress.fresh_from) * self._fall(progress, share)

    def discriminator_rate(self, progress: Progress, share: float) -> float:
        """Learning rate of the discriminators; less by what was taken from it where they won."""
        settings, age = self.config.optimizer, progress.step - (progress.discriminator_fresh_from or 0)
        peak = settings.discriminator_learning_rate * progress.discriminator_rate_factor
        return peak * settings.rise(age) * self._fall(progress, share)

    def weights(self, progress: Progress) -> dict[str, float]:
        """Weight of every term, by name."""
        weights = self.config.loss.weights(self._shifted(progress))
        age = progress.step - (progress.discriminator_fresh_from or 0) - self.config.discriminator_warmup_steps
        risen = min(1.0, (age + 1) / max(1, self.config.discriminator_ramp_steps))
        return weights | {name: risen * weights[name] for name in ("adversarial", "feature")}

    def mel_floor(self, progress: Progress) -> float:
        """Amplitude under which the mel loss does not look."""
        return self.config.loss.floor(self._shifted(progress))

    def average_decay(self, progress: Progress, pace: float) -> float:
        """Share of the past in the moving average after this step: less while it is young, or where time is short.

        Args:
            pace: share of the time limit that a step takes.
        """
        age = progress.step + 1 - progress.fresh_from
        decay = min(self.config.ema_decay, (1 + age) / (10 + age))
        return min(decay, max(0.0, 1 - pace / self.config.clock.average))

    def resumed(self, progress: Progress) -> Progress:
        """Where a run with a time limit begins that goes on from a state: phases that were reached by steps count."""
        if not self.by_clock:
            return progress
        config, clock = self.config, self.config.clock
        shifted = ramp(progress.step, *config.loss.shift_steps)
        reached = (
            clock.quantize_from if progress.quantized else 0.0,
            clock.trunk_from if progress.step >= config.trunk_from_step else 0.0,
            clock.shift[0] + shifted * (clock.shift[1] - clock.shift[0]) if shifted else 0.0,
        )
        return dataclasses.replace(progress, reached=max(progress.reached, *reached))

    def _shifted(self, progress: Progress) -> float:
        return self._done(progress, self.config.loss.shift_steps, self.config.clock.shift)

    def _due(self, progress: Progress, step: int, share: float) -> bool:
        return self._done(progress, (step, step), (share, share)) == 1

    def _done(self, progress: Progress, steps: Ends, shares: Ends) -> float:
        """0 up to the first, 1 from the second of two steps, or shares, on."""
        by_share = ramp(progress.reached, *shares)
        if self.by_clock:
            return by_share
        return max(ramp(progress.step, *steps), by_share if progress.reached else 0.0)

    def _fall(self, progress: Progress, share: float) -> float:
        """Factor of the rates: 1, and 0 at the end."""
        if self.by_clock:
            left = (1 - share) / (1 - self.config.clock.decay_from)
        else:
            left = (self.config.total_steps - progress.step) / max(1, self.config.optimizer.decay_steps)
        return 0.5 - 0.5 * math.cos(math.pi * min(1.0, max(0.0, left)))


def ramp(x: int | float, begin: int | float, end: int | float) -> float:
    """0 up to `begin`, 1 from `end` on, a line between them."""
    if x >= end:
        return 1.0
    return (x - begin) / (end - begin) if x > begin else 0.0
