"""The discriminators in a run: what they hear, and how they learn."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from soundstream.nn import distributed
from soundstream.train.adversarial.discriminators import build
from soundstream.train.adversarial.losses import AdversarialLosses, adversarial_losses
from soundstream.train.config import TrainConfig
from soundstream.train.steps.optimizer import adamw, follow
from soundstream.train.steps.precision import Precision


class Critic:
    """Discriminators and their optimizer. They hear whole crops or a random part of them, of all examples or some."""

    def __init__(self, config: TrainConfig, precision: Precision) -> None:
        self.config, self.precision = config, precision
        self.discriminators = build(config.discriminator, config.codec.sample_rate)
        precision.place(self.discriminators)
        settings = config.optimizer
        self.optimizer = adamw(
            self.discriminators,
            settings.discriminator_learning_rate,
            settings.discriminator_betas,
            settings.weight_decay,
        )
        self.examples = config.discriminator_examples // distributed.count() or None

    def judge(
        self,
        target: Float[Tensor, "batch 1 samples"],
        decoded: Float[Tensor, "batch 1 samples"],
        heard: Int[Tensor, " heard"] | None = None,
    ) -> AdversarialLosses:
        """All losses between generator and discriminators, from one pass over each signal.

        Args:
            heard: the samples of each crop that are heard; all if there are none.
        """
        real, fake = target[: self.examples], decoded[: self.examples]
        if heard is not None:
            real, fake = real.index_select(-1, heard), fake.index_select(-1, heard)
        with self.precision.autocast():
            return adversarial_losses(self.discriminators, real, fake, self.config.loss.relative_features)

    def learn(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Follow the discriminators' own loss; returns the norm of its gradient."""
        self.optimizer.zero_grad()
        torch.autograd.backward(loss / distributed.count(), inputs=list(self.discriminators.parameters()))
        return follow(self.optimizer, self.config.optimizer.discriminator_clip_norm)
