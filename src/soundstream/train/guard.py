"""What watches a run: losses that are no numbers, and discriminators that have won."""

from __future__ import annotations

import dataclasses
import math

from soundstream.errors import TrainingError
from soundstream.train.steps.learner import Learner

KEEP_EVERY_STEPS = 100
"""Steps after which the state is kept to step back to, if all figures since the last one were finite."""
ATTEMPTS = 5
"""Times in a row that a run steps back to the same state before it gives up."""
WON = 0.5
"""Loss of the discriminators under which they have won: the generator learns little from them."""
WON_STEPS = 500
"""Steps in a row after which their rate is halved."""


class Guard:
    """Makes a run whose figures are not finite step back to the last sound state and go on with other batches."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.kept, self.failures = learner.state().clone(), 0

    def check(self, figures: dict[str, float]) -> str | None:
        """None if all figures since the last check are finite; else the run has stepped back, and this says so.

        The batches up to the step that was reached are left out then.

        Raises:
            TrainingError: that was done several times in a row.
        """
        if all(map(math.isfinite, figures.values())):
            self._keep()
            return None
        reached = self.learner.progress
        what = f"a loss or gradient before step {reached.step} was not finite"
        if self.failures == ATTEMPTS:
            raise TrainingError(
                f"{what}, at {ATTEMPTS + 1} attempts from step {self.kept.step}: lower learning_rate or clip_norm, or "
                "look for broken audio; what was saved last is in checkpoint/ of the run folder"
            )
        self.failures += 1
        self.learner.restore(self.kept)
        back = self.learner.progress
        skipped = reached.skipped + reached.step - back.step
        self.learner.progress = dataclasses.replace(back, skipped=skipped)
        return f"{what}: back to step {back.step}, on with other batches"

    def _keep(self) -> None:
        if self.learner.progress.step - self.kept.step >= KEEP_EVERY_STEPS:
            self.kept, self.failures = self.learner.state().clone(), 0


class Contest:
    """Halves the rate of discriminators that have won: a loss near 0 says that nothing misleads them any more."""

    def __init__(self, learner: Learner) -> None:
        self.learner, self.since = learner, learner.progress.step

    def check(self, figures: dict[str, float]) -> str | None:
        """Says so, if the rate was halved.

        Args:
            figures: means over the steps since the last check.
        """
        progress = self.learner.progress
        if not figures.get("discriminator", math.inf) < WON:
            self.since = progress.step
        if progress.step - self.since < WON_STEPS:
            return None
        factor, self.since = progress.discriminator_rate_factor / 2, progress.step
        self.learner.progress = dataclasses.replace(progress, discriminator_rate_factor=factor)
        return f"the discriminators win (loss under {WON} for {WON_STEPS} steps): {factor:g} of their rate is left"
