"""The gradient at the decoder's output as a sum of losses, each with its share of it or a plain factor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.nn import distributed
from soundstream.train.losses.reconstruction import LossConfig

Losses = dict[str, Float[Tensor, ""]]
Weights = Mapping[str, float | Float[Tensor, ""]]
MIN_NORM = 0.1
"""Divisor of an example at least, relative to the mean over the batch, where examples are normalized one by one."""


class Balancer:
    """Weighs losses by what they do to the decoded audio.

    With g_i = dloss_i / daudio and |g_i| its Euclidean norm in each example, the gradient of the output is

        sum_i weight_i * g_i / n_i,    n_i = mean of |g_i| over the examples that the loss hears

    so that a weight of 0.4 means: this loss pulls at each example's audio with a norm of 0.4 on average, whatever its
    scale. With `balancer_decay` d > 0, n_i is the average of that mean over measurements, with weights d^age. With
    `per_example`, n_i is |g_i| of each example itself, at least a tenth of the mean. Without `balance` it is plainly

        sum_i weight_i * dloss_i / daudio * examples

    Both are sums over the examples of a batch, which is why gradients of several processes are added. To measure n_i
    takes a pass back for each loss; between two measurements one pass serves all, with the n_i of the last one.

    Source: the balancer of EnCodec (Défossez et al., 2022), section 3.4 (there d = 0.999). Differs: the weights are not
    divided by their sum, norms are means over examples, and d = 0 is the default.
    """

    def __init__(self, config: LossConfig) -> None:
        self.config = config
        self.averages: dict[str, Tensor] = {}
        """Discounted sum of norms and of their weights `[2]`, by name of the loss; the state of the balancer."""

    def knows(self, names: Iterable[str]) -> bool:
        """Whether the norms of these losses have been measured."""
        return set(names) <= set(self.averages)

    def gradient(
        self, losses: Losses, weights: Weights, audio: Float[Tensor, "batch 1 samples"], measure: bool = True
    ) -> tuple[Float[Tensor, "batch 1 samples"], dict[str, Tensor]]:
        """The gradient of the output, and the mean norms before scaling, for the log.

        Args:
            losses: computed from `audio`, each a mean over its examples.
            audio: the decoder's output, detached.
            measure: measure the norms anew; they have to be known if not.
        """
        if measure:
            return self._measured(losses, weights, audio)
        total = torch.stack([weights[name] * self._factor(name, len(audio)) * loss for name, loss in losses.items()])
        gradient = self._pulled(total.sum(), audio)
        return gradient, {name: self._mean(name) for name in losses}

    def _measured(self, losses: Losses, weights: Weights, audio: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        sum_ = torch.zeros_like(audio)
        for name, loss in losses.items():
            gradient = self._pulled(loss, audio)
            norms = gradient.flatten(1).norm(dim=1)
            self._follow(name, norms)
            sum_ += weights[name] * gradient * self._scale(name, norms)
        return sum_, {name: self._mean(name) for name in losses}

    def _pulled(self, loss: Tensor, audio: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(loss / distributed.count(), audio, retain_graph=True)
        return gradient

    def _scale(self, name: str, norms: Tensor) -> Tensor:
        """Factor of a gradient that was measured, `[batch or 1, 1, 1]`."""
        if not (self.config.balance and self.config.per_example):
            return self._factor(name, len(norms)).reshape(1, 1, 1)
        return 1 / (norms.clamp(min=MIN_NORM * self._mean(name)).reshape(-1, 1, 1) + 1e-12)

    def _factor(self, name: str, examples: int) -> Float[Tensor, ""]:
        """Factor of the gradient of all examples alike."""
        mean = self._mean(name)
        if not self.config.balance:
            return torch.full_like(mean, examples * distributed.count())
        return 1 / (mean + 1e-12)

    def _mean(self, name: str) -> Float[Tensor, ""]:
        return self.averages[name][0] / self.averages[name][1]

    def _follow(self, name: str, norms: Tensor) -> None:
        """Take a measurement into the average, in place; examples without any gradient were not heard."""
        norm, heard = distributed.total(torch.stack([norms.sum(), (norms > 0).sum()]))
        fresh = torch.stack([norm / heard.clamp(min=1), torch.ones_like(norm)])
        if name not in self.averages:
            self.averages[name] = torch.zeros_like(fresh)
        past = self.averages[name].nan_to_num().mul(self.config.balancer_decay)
        self.averages[name].copy_(past + fresh)
