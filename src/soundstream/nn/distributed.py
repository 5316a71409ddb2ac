"""The processes of a training run, and sums over them; a single process gets back what it gives.

Each holds every n-th example of a batch: process r of n the examples r, r + n, r + 2n and so on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0; the first one writes log and checkpoints."""
    return distributed.get_rank() if count() > 1 else 0


def total(x: Tensor) -> Tensor:
    """Sum over processes, the same everywhere to the last bit; gradients are summed over processes too."""
    return _Total.apply(x) if count() > 1 else x  # type: ignore[no-untyped-call]


def mean(x: Tensor) -> Tensor:
    """Mean over processes, of a figure that is itself the mean over as many examples in each."""
    return total(x) / count()


def gather(x: Tensor) -> Tensor:
    """Values of all processes, `[processes, ...]`."""
    everywhere = torch.zeros(count(), *x.shape, dtype=x.dtype, device=x.device)
    everywhere[rank()] = x
    return total(everywhere)


def share(tensors: list[Tensor]) -> None:
    """Overwrite tensors by those of the first process."""
    if count() > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        y = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(y)
        return y
