"""Features of crops, for codecs that take some beside the sound: a function of somebody else makes them.

A run file names it, `features = "MODULE:FUNCTION"`, of a module that Python finds:

    def FUNCTION(audio, sample_rate): ...

takes sound `[batch, samples]` of whole frames at a rate in Hz, and gives a tensor `[batch, channels, frames]`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.errors import ConfigError
from soundstream.nn.config import FamilyConfig

Featuring = Callable[[Float[Tensor, "batch 1 samples"]], Float[Tensor, "batch channels frames"]]


def featuring(name: str, codec: FamilyConfig) -> Featuring | None:
    """What makes features of sound, for a codec that takes some.

    Args:
        name: `MODULE:FUNCTION`, or nothing.
    Raises:
        ConfigError: there is no such function, the codec takes features and none is named, or the other way round.
    """
    told = codec.encoder_features
    if not told:
        if name:
            raise ConfigError(f"features is {name!r}, but the family {codec.family} takes sound alone; leave it out")
        return None
    if not name:
        raise ConfigError(
            f"the family {codec.family} takes features beside the sound: {told.name}; name a function that makes them, "
            'features = "MODULE:FUNCTION" in the run file'
        )
    function, channels = _function(name), told.channels

    @torch.no_grad()
    def made(audio: Float[Tensor, "batch 1 samples"]) -> Float[Tensor, "batch channels frames"]:
        expected = (len(audio), channels, audio.shape[-1] // codec.hop_length)
        found = function(audio[:, 0], codec.sample_rate)
        if not isinstance(found, Tensor) or tuple(found.shape) != expected:
            shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(f"{name} gives {shape}; expected a tensor {list(expected)}: {told.name}")
        return found.to(audio)

    return made


def _function(name: str) -> Callable[..., object]:
    module, _, function = name.partition(":")
    try:
        found: object = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"features is {name!r}; expected MODULE:FUNCTION that Python finds ({error})") from error
    if not callable(found):
        raise ConfigError(f"features is {name!r}, which is no function")
    return found
