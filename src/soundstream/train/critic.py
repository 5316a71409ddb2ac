"""The discriminators in a run: when they take part, what they hear, and how they learn."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.nn import processes
from soundstream.train.adversarial import AdversarialLosses, adversarial_losses
from soundstream.train.config import TrainConfig
from soundstream.train.discriminators import build
from soundstream.train.optimizer import adamw, follow
from soundstream.train.precision import Precision


class Critic:
    """Discriminators and their optimizer.

    They take part in every n-th step from the first adversarial one on, on whole crops or a random part of them. The
    generator follows them once they have had some steps to learn.
    """

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
        self.fresh_from = config.adversarial_from_step
        """Step at which the optimizer was or will be fresh."""

    def takes_part(self, step: int) -> bool:
        """Whether the discriminators hear and learn at a step."""
        return step >= self.fresh_from and step % self.config.discriminator_every == 0

    def is_followed(self, step: int) -> bool:
        """Whether the generator listens to them too."""
        return self.takes_part(step) and step >= self.fresh_from + self.config.discriminator_warmup_steps

    def judge(
        self, target: Float[Tensor, "batch 1 samples"], decoded: Float[Tensor, "batch 1 samples"]
    ) -> AdversarialLosses:
        """All losses between generator and discriminators, from one pass over each signal."""
        part = self._part(target.shape[-1])
        with self.precision.autocast():
            relative = self.config.loss.relative_features
            return adversarial_losses(self.discriminators, target[..., part], decoded[..., part], relative)

    def learn(self, loss: Float[Tensor, ""], step: int) -> Float[Tensor, ""]:
        """Follow the discriminators' own loss; returns the norm of its gradient."""
        settings = self.config.optimizer
        self.optimizer.zero_grad()
        torch.autograd.backward(loss / processes.count(), inputs=list(self.discriminators.parameters()))
        peak = settings.discriminator_learning_rate
        rate = settings.rate(peak, step, self.fresh_from, self.config.total_steps)
        return follow(self.optimizer, rate, settings.discriminator_clip_norm)

    def _part(self, samples: int) -> slice:
        """A random part of the crops, the same for all of a batch; drawn on the CPU, so that a GPU need not wait."""
        hop = self.config.codec.hop_length
        length = self.config.discriminator_crop_frames * hop
        if not length:
            return slice(None)
        start = int(torch.randint((samples - length) // hop + 1, ())) * hop
        return slice(start, start + length)
