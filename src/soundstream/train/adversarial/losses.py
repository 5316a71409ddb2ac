"""Losses between a decoder and its discriminators: `adversarial`, `feature`, and the discriminators' own.

One pass over the real and one over the decoded clips serves all three:

    losses = adversarial_losses(discriminators, target, decoded)
    gradients of losses.adversarial and losses.feature at `decoded` train the generator
    losses.discriminator.backward(inputs=list(discriminators.parameters())) trains the discriminators

Both sides then see the same discriminator, the one before its update. Against a step for each side this saves a pass
over each clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundstream.train.adversarial.discriminators import DiscriminatorOutput

FEATURE_FLOOR = 1e-3
"""Added to the level of real features, so that digital silence does not divide by zero."""


class AdversarialLosses(NamedTuple):
    """What a pass over real and decoded clips gives."""

    adversarial: Float[Tensor, ""]
    """For the generator: the discriminators are not misled."""
    feature: Float[Tensor, ""]
    """For the generator: features differ from the real clip's."""
    discriminator: Float[Tensor, ""]
    """For the discriminators: real and decoded are not told apart; its graph reaches `decoded` too."""


def adversarial_losses(
    discriminators: nn.Module,
    target: Float[Tensor, "batch 1 samples"],
    decoded: Float[Tensor, "batch 1 samples"],
    relative: bool = True,
) -> AdversarialLosses:
    """All three losses from one pass over each clip.

    Args:
        decoded: the decoder's output, detached from it, that gradients are wanted for.
        relative: as in `feature_loss`.
    """
    real, fake = discriminators(target), discriminators(decoded)
    return AdversarialLosses(generator_loss(fake), feature_loss(real, fake, relative), discriminator_loss(real, fake))


def discriminator_loss(real: list[DiscriminatorOutput], fake: list[DiscriminatorOutput]) -> Float[Tensor, ""]:
    """Hinge loss of the discriminators: mean_k [ mean max(0, 1 - D_k(x)) + mean max(0, 1 + D_k(G(x))) ].

    The inner means go over examples and positions. 2 is blind, 0 is certain and right.

    Source: SoundStream (Zeghidour et al., 2021), section III-E; EnCodec (Défossez et al., 2022), section 3.4.
    """
    hinges = [
        (1 - a.logits.float()).relu().mean() + (1 + b.logits.float()).relu().mean()
        for a, b in zip(real, fake, strict=True)
    ]
    return torch.stack(hinges).mean()


def generator_loss(fake: list[DiscriminatorOutput]) -> Float[Tensor, ""]:
    """Hinge loss of the generator: mean_k mean max(0, 1 - D_k(G(x))); 0 where every logit is above 1.

    Source: SoundStream (Zeghidour et al., 2021), section III-E; EnCodec (Défossez et al., 2022), section 3.4.
    """
    return torch.stack([(1 - judgement.logits.float()).relu().mean() for judgement in fake]).mean()


def feature_loss(
    real: list[DiscriminatorOutput], fake: list[DiscriminatorOutput], relative: bool = True
) -> Float[Tensor, ""]:
    """L1 distance of features, averaged over layers, examples and positions; gradients reach only `fake`.

    With D_kl(x) the features of layer l of discriminator k, it is mean_kl mean|D_kl(x) - D_kl(G(x))|, or, where
    `relative`, that divided by mean|D_kl(x)|, so that layers of any scale count alike.

    Source: SoundStream (Zeghidour et al., 2021), section III-E; relative as in EnCodec (Défossez et al., 2022), section
    3.4. Differs: levels are those of each example, not of the batch, so that quiet ones count like loud ones and parts
    of a batch on several machines give what the whole gives.
    """
    distances = [_distance(a, b, relative) for a, b in _layers(real, fake)]
    return torch.stack(distances).mean()


def _layers(real: list[DiscriminatorOutput], fake: list[DiscriminatorOutput]) -> Iterator[tuple[Tensor, Tensor]]:
    for a, b in zip(real, fake, strict=True):
        yield from zip(a.features, b.features, strict=True)


def _distance(real: Tensor, fake: Tensor, relative: bool) -> Tensor:
    """Differences keep the type and the layout of features, which are by far the largest tensors of a step."""
    real = real.detach()
    distance = _mean_size(real - fake)
    return (distance / (_mean_size(real) + FEATURE_FLOOR) if relative else distance).mean()


def _mean_size(features: Tensor) -> Float[Tensor, " batch"]:
    """Mean absolute value of each example, summed in float32."""
    return features.abs().sum(dim=tuple(range(1, features.dim())), dtype=torch.float32) / features[0].numel()
