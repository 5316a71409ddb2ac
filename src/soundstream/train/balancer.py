"""Losses that share the gradient at the decoder's output by fixed parts, whatever their scale."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Losses = dict[str, Float[Tensor, ""]]


def balanced_gradient(
    losses: Losses, shares: dict[str, float], audio: Float[Tensor, "batch 1 samples"]
) -> tuple[Float[Tensor, "batch 1 samples"], dict[str, float]]:
    """Sum over losses of share_i * g_i / mean_batch(|g_i|), where g_i = dloss_i / daudio: the gradient of the output.

    A share of 0.4 means that this loss pulls at each example's audio with a Euclidean norm of 0.4 on average. Returned
    with it are the norms before scaling, for the log.

    Args:
        audio: the decoder's output, detached, that the losses were computed from.
    Source: the balancer of EnCodec (Défossez et al., 2022), section 3.4. Differs: the norms are those of this step.
    """
    total = torch.zeros_like(audio)
    norms = {}
    for name, loss in losses.items():
        (gradient,) = torch.autograd.grad(loss, audio, retain_graph=True)
        norm = gradient.flatten(1).norm(dim=1).mean() + 1e-12
        total += shares[name] * gradient / norm
        norms[name] = float(norm)
    return total, norms
