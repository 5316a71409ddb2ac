"""AdamW, its learning rate over the steps, and gradients over all processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from soundstream.errors import ConfigError
from soundstream.nn import distributed

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class OptimizerConfig:
    """How generator and discriminators follow their gradients."""

    learning_rate: float = 1e-3
    """Rate of the generator's AdamW between warm-up and decay."""
    adversarial_learning_rate: float = 0.0
    """The same from the first step with discriminators on; 0 keeps `learning_rate`."""
    betas: tuple[float, ...] = (0.9, 0.99)
    """AdamW's averaging of gradients and their squares, for the generator."""
    weight_decay: float = 0.0
    """AdamW's pull of all weights to zero, relative to the learning rate."""
    warmup_steps: int = 100
    """Steps over which a rate rises from zero where the optimizer is fresh."""
    decay_steps: int = 0
    """Steps before the end over which the rates fall to zero, as the half of a cosine."""
    clip_norm: float = 10.0
    """Largest norm of the generator's gradient, which is the sum over the examples of a batch."""
    discriminator_learning_rate: float = 3e-4
    """Rate of the discriminators' AdamW."""
    discriminator_betas: tuple[float, ...] = (0.5, 0.9)
    """AdamW's averaging for the discriminators."""
    discriminator_clip_norm: float = 10.0
    """Largest norm of the discriminators' gradient, which is the mean over the examples of a batch."""

    def __post_init__(self) -> None:
        for name in ("betas", "discriminator_betas"):
            betas = getattr(self, name)
            if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
                raise ConfigError(f"{name} is {betas}; expected two numbers from 0 to less than 1")
        for name in ("learning_rate", "clip_norm", "discriminator_learning_rate", "discriminator_clip_norm"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected more than 0")
        if self.adversarial_learning_rate < 0:
            raise ConfigError(f"adversarial_learning_rate is {self.adversarial_learning_rate}; expected 0 or more")

    def rise(self, age: int) -> float:
        """Factor of a rate so many steps after the optimizer was fresh: the warm-up."""
        return min(1.0, (age + 1) / max(1, self.warmup_steps))


def adamw(module: nn.Module, rate: float, betas: tuple[float, ...], weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the parameters that are trained, in one pass over them; its rate is a tensor beside them."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    device = parameters[0].device
    return torch.optim.AdamW(
        parameters,
        lr=torch.tensor(rate, device=device),
        betas=(betas[0], betas[1]),
        weight_decay=weight_decay,
        fused=True,
        capturable=device.type == "cuda",
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the steps to come."""
    for group in optimizer.param_groups:
        group["lr"].fill_(rate)


def follow(optimizer: torch.optim.Optimizer, clip_norm: float) -> Tensor:
    """Take a step with the gradients of all processes added and clipped; returns their norm before clipping."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    _add_gradients(parameters)
    norm = nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimizer.step()
    return norm


def _add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """One sum for all gradients at once."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if distributed.count() == 1:
        return
    flat = distributed.total(torch.cat([g.reshape(-1) for g in gradients]))
    for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def optimizer_state(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as `exp_avg.NAME`, `exp_avg_sq.NAME` and `step.NAME`, by the names of the parameters."""
    names = {id(p): name for name, p in module.named_parameters()}
    return {f"{key}.{names[id(p)]}": v for p, state in optimizer.state.items() for key, v in state.items()}


def restore_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Inverse of `optimizer_state`; parameters without a state start afresh."""
    optimizer.state.clear()
    for name, p in module.named_parameters():
        if f"step.{name}" in state:
            moments = {key: torch.empty_like(p).copy_(state[f"{key}.{name}"]) for key in MOMENTS}
            optimizer.state[p] = {"step": state[f"step.{name}"].clone().to(p.device), **moments}
