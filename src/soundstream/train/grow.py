"""A larger network that computes what a trained one does, to go on training from there.

    channels   each stands there several times; the layer behind splits its weights among the copies at random, so that
               they learn different things
    blocks     ConvNeXt blocks behind those that there are; their last layer is zero
    trunk      of a SEANet without one: the last layer before the latents becomes two, and so does the first behind them
    latents    small mixtures of those that there are; the decoder does not listen to them yet

A LayerNorm gives the same only where every channel stands equally often, so that widths with one grow to multiples. The
latents keep a mean square of one over all channels: with more of them, the old ones become larger, the codebooks with
them, and codes stay what they were. One thing is another with more latents: the noise of the spectral family, a random
function of all of them, of the same levels.

Source: Net2Net (Chen, Goodfellow and Shlens, 2016), section 2.2. Differs: the shares of copies are random.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from soundstream.errors import ConfigError
from soundstream.nn.config import FamilyConfig
from soundstream.nn.families import build, family
from soundstream.train.checkpoint import SUMS, Checkpoint, Tensors

NEW_LATENT = 0.1
"""Standard deviation of a new latent, where that of the old ones is one on average."""
MIN_SHARE = 0.5
"""Shares of copies are drawn from here to one more, and divided by their sum."""


@runtime_checkable
class Growing(Protocol):
    """What the module of a family has whose larger networks have layers, besides blocks, that smaller ones lack."""

    @staticmethod
    def with_new_layers(tensors: Tensors, old: Any, new: Any) -> Tensors:
        """The tensors of a network of the old settings, and those of the new layers, so that it computes the same."""


def larger(codec: FamilyConfig, sizes: dict[str, tuple[int, ...]]) -> FamilyConfig:
    """The codec with other sizes.

    Args:
        sizes: by word: `width` and `blocks` of the ConvNeXt blocks, `channels` of SEANet, `latent_dim`. One number is
            for both sides of the quantizer, two are the encoder's and the decoder's.
    Raises:
        ConfigError: the family has no such size, or it is out of range.
    """
    changes: dict[str, Any] = {}
    for word, values in sizes.items():
        names = codec.GROWS.get(word, ())
        if len(values) not in {1, len(names)} or not names:
            known = ", ".join(f"{w} ({' and '.join(fields)})" for w, fields in codec.GROWS.items())
            raise ConfigError(f"{word} is {list(values)}; the {codec.family} family can grow in: {known}")
        changes |= dict(zip(names, values * (len(names) // len(values)), strict=True))
    return dataclasses.replace(codec.before_growth(codec), **changes)


def grown(checkpoint: Checkpoint, codec: FamilyConfig, seed: int = 0) -> Checkpoint:
    """The state of a larger network that codes and decodes alike, to rounding; see the module.

    It is the averaged generator, without an average or moments. Discriminators stay as they are.

    Args:
        codec: the larger network, as `larger` makes it.
        seed: of all that is drawn.
    Raises:
        ConfigError: it differs in more than its sizes, something would shrink, or a width cannot be grown to exactly.
    """
    start = _start(checkpoint.codec, codec)
    tensors = checkpoint.model | checkpoint.average
    tensors[SUMS] = tensors["quantizer.codebooks"] * tensors["quantizer.usage"][..., None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tensors = _with_latents(tensors, start, codec.latent_dim)
        if isinstance(module := family(codec.family), Growing):
            tensors = module.with_new_layers(tensors, dataclasses.replace(start, latent_dim=codec.latent_dim), codec)
        tensors = _with_channels_and_blocks(tensors, build(codec).state_dict())
    settings = checkpoint.settings | {"codec": codec.to_dict()}
    return dataclasses.replace(checkpoint, codec=codec, model=tensors, average={}, optimizer={}, settings=settings)


def _start(old: FamilyConfig, new: FamilyConfig) -> FamilyConfig:
    """The old codec with nothing left unsaid; refuses what cannot be grown to, by the setting's name."""
    if old.family != new.family:
        raise ConfigError(f"family is {new.family!r}; the state is of the {old.family} family")
    old = old.before_growth(new)
    sizes = {name for names in old.GROWS.values() for name in names}
    before = old.to_dict()
    for name, value in new.to_dict().items():
        if name not in sizes and value != before[name]:
            raise ConfigError(f"{name} is {value!r}; the state has {before[name]!r}, which does not grow")
        if name in sizes:
            _check_size(name, before[name], value)
    return old


def _check_size(name: str, old: int, new: int) -> None:
    if new < old:
        raise ConfigError(f"{name} is {new}; the state has {old}, and a network can only grow")
    if name.endswith("width") and new % old:
        raise ConfigError(
            f"{name} is {new}; expected a multiple of {old}: a LayerNorm gives the same only where every channel "
            "stands equally often"
        )


def _with_latents(tensors: Tensors, codec: FamilyConfig, latent_dim: int) -> Tensors:
    """More latents, the normalized ones all times sqrt(latent_dim / old)."""
    more = latent_dim - codec.latent_dim
    if not more:
        return tensors
    scale = math.sqrt(latent_dim / codec.latent_dim)
    mixture = NEW_LATENT * torch.randn(more, codec.latent_dim) / math.sqrt(codec.latent_dim)
    last = "project" if "project.weight" in tensors else "encoder.last"
    weight, bias, mean = (tensors[name] for name in (f"{last}.weight", f"{last}.bias", "normalizer.mean"))
    new = {"normalizer.mean": torch.cat([mean, mixture @ mean]), "normalizer.std": tensors["normalizer.std"] / scale}
    for name in ("quantizer.codebooks", SUMS):
        new[name] = functional.pad(tensors[name] * scale, (0, more))
    new["decoder.first.weight"] = functional.pad(tensors["decoder.first.weight"] / scale, (0, 0, 0, 0, 0, more))
    mixed = weight, bias
    if codec.film == "decoder" or last == "encoder.last":
        gamma, beta = tensors["film.gamma"], tensors["film.beta"]
        if codec.film == "encoder":
            mixed = gamma[:, :1, None, None] * weight, gamma[:, 0] * bias + beta[:, 0]
        new["film.gamma"] = functional.pad(gamma, (0, 0, 0, more), value=1.0)
        new["film.beta"] = functional.pad(beta * (scale if codec.film == "decoder" else 1.0), (0, 0, 0, more))
    new[f"{last}.weight"] = torch.cat([weight, torch.tensordot(mixture, mixed[0], dims=1)])
    new[f"{last}.bias"] = torch.cat([bias, mixture @ mixed[1]])
    return tensors | new


def _with_channels_and_blocks(tensors: Tensors, fresh: Tensors) -> Tensors:
    """Tensors in the shapes of fresh ones; those that there are not yet belong to blocks, which shall do nothing."""
    grown = {name: _wider(tensors[name], value.shape) for name, value in fresh.items() if name in tensors}
    new = {name: value for name, value in fresh.items() if name not in tensors}
    return grown | {name: value * (".shrink." not in name) for name, value in new.items()}


def _wider(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Output channels one round of copies after the other, and likewise inputs, whose weights are split among them.

    Copies of channel c are c, c + old, c + 2 old and so on, in every tensor alike, also where phases of an upsampling
    layer are channels, and whether or not the new number is a multiple of the old one.
    """
    if tensor.shape == shape:
        return tensor
    rows = tensor[torch.arange(shape[0]) % len(tensor)]
    if tensor.dim() < 2 or tensor.shape[1] == shape[1]:
        return rows
    copies = torch.arange(shape[1]) % tensor.shape[1]
    shares = MIN_SHARE + torch.rand(shape, dtype=torch.float64)
    sums = torch.zeros_like(rows, dtype=torch.float64).index_add_(1, copies, shares)
    return (rows[:, copies] * shares / sums[:, copies]).to(tensor.dtype)
