"""The gradient at the decoder's output as a sum of losses, each with its share of it or a plain factor."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.nn import processes
from soundstream.train.losses import LossConfig

Losses = dict[str, Float[Tensor, ""]]
LEAST_NORM = 0.1
"""Divisor of an example at least, relative to the mean over the batch, where examples are normalized one by one."""


class Balancer:
    """Weighs losses by what they do to the decoded audio.

    With g_i = dloss_i / daudio and |g_i| its Euclidean norm in each example, the gradient of the output is

        sum_i weight_i * g_i / n_i,    n_i = mean of |g_i| over the whole batch

    so that a weight of 0.4 means: this loss pulls at each example's audio with a norm of 0.4 on average, whatever its
    scale. With `balancer_decay` d > 0, n_i is the average of that mean over steps, with weights d^age. With
    `per_example`, n_i is |g_i| of each example itself, at least a tenth of the mean. Without `balance` it is plainly

        sum_i weight_i * dloss_i / daudio * examples

    Both are sums over the examples of a batch, which is why gradients of several processes are added.

    Source: the balancer of EnCodec (Défossez et al., 2022), section 3.4 (there d = 0.999). Differs: the weights are not
    divided by their sum, norms are means over examples, and d = 0 is the default.
    """

    def __init__(self, config: LossConfig) -> None:
        self.config = config
        self.averages: dict[str, Tensor] = {}
        """Discounted sum of norms and of their weights `[2]`, by name of the loss; the state of the balancer."""

    def gradient(
        self, losses: Losses, weights: dict[str, float], audio: Float[Tensor, "batch 1 samples"]
    ) -> tuple[Float[Tensor, "batch 1 samples"], dict[str, Tensor]]:
        """The gradient of the output, and the mean norms before scaling, for the log.

        Args:
            losses: computed from `audio`, each a mean over its examples; those without weight are left out.
            audio: the decoder's output, detached.
        """
        sum_, means = torch.zeros_like(audio), {}
        for name, loss in losses.items():
            if not weights[name]:
                continue
            (gradient,) = torch.autograd.grad(loss / processes.count(), audio, retain_graph=True)
            norms = gradient.flatten(1).norm(dim=1)
            means[name] = processes.mean(norms.mean())
            sum_ += weights[name] * gradient * self._scale(name, norms, means[name])
        return sum_, means

    def _scale(self, name: str, norms: Tensor, mean: Tensor) -> Tensor:
        """Factor of the gradient, `[batch or 1, 1, 1]`."""
        if not self.config.balance:
            return norms.new_full((1, 1, 1), len(norms) * processes.count())
        mean = self._averaged(name, mean)
        divisor = norms.clamp(min=LEAST_NORM * mean) if self.config.per_example else mean
        return 1 / (divisor.reshape(-1, 1, 1) + 1e-12)

    def _averaged(self, name: str, mean: Tensor) -> Tensor:
        if not self.config.balancer_decay:
            return mean
        fresh = torch.stack([mean, torch.ones_like(mean)])
        past = self.averages.get(name, torch.zeros_like(fresh))
        self.averages[name] = self.config.balancer_decay * past + fresh
        return self.averages[name][0] / self.averages[name][1]
