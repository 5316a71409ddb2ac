"""Families of networks, a module each, found by its name.

A family is a module `NAME.py` of this folder, or a module NAME of another distribution, which gives it as an entry
point NAME of the group `soundstream.families`. It has

    Config         a `FamilyConfig`: the settings, each with its range, and `hop_length`
    build(config)  its networks, as a `SoundStream`

and, where others have published weights of such networks,

    VARIANTS                  the settings of what they published, by name
    CARD                      where it comes from, and its licence, for the model's card
    convert(tensors, config)  the `SoundStream` of their tensors; `soundstream.nn.weights` reads them

and nothing else in the package needs to know of it. See docs/guides/add-a-codec.md.
"""

from __future__ import annotations

import dataclasses
import pkgutil
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from soundstream.errors import ConfigError
from soundstream.limits import check_values
from soundstream.nn.config import FamilyConfig
from soundstream.nn.model import SoundStream

GROUP = "soundstream.families"
"""Entry points of other distributions."""
DEFAULT = "seanet"
"""The family that is meant where none is named, as in states and run files of early releases."""


@runtime_checkable
class Family(Protocol):
    """What the module of a family has."""

    Config: type[FamilyConfig]

    @staticmethod
    def build(config: Any) -> SoundStream:
        """Fresh networks."""


@runtime_checkable
class Published(Family, Protocol):
    """What the module of a family has whose weights others published."""

    VARIANTS: dict[str, FamilyConfig]
    CARD: str

    @staticmethod
    def convert(tensors: dict[str, Tensor], config: Any) -> SoundStream:
        """The model of published tensors, each of which is used."""


def published(name: object, variant: str) -> tuple[Published, FamilyConfig]:
    """The module of a family whose weights are published, and the settings of one of its variants.

    Raises:
        ConfigError: there is none of this name, or no such variant.
    """
    module = family(name)
    if not isinstance(module, Published):
        raise ConfigError(f"family {name} is not one whose weights are published elsewhere; train it, or name another")
    if variant not in module.VARIANTS:
        raise ConfigError(f"{name} has no variant {variant!r}; expected one of: {', '.join(module.VARIANTS)}")
    return module, module.VARIANTS[variant]


def names() -> list[str]:
    """Every family that is installed."""
    own = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted({*own, *(entry.name for entry in entry_points(group=GROUP))})


def family(name: object) -> Family:
    """The module of a family.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in names():
        raise ConfigError(f"family is {name!r}; expected one of: {', '.join(names())}")
    others = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    module: Any = others[0].load() if others else import_module(f"{__name__}.{name}")
    return module


def config_of(data: Any) -> FamilyConfig:
    """Settings from plain data; inverse of `FamilyConfig.to_dict`.

    Raises:
        ConfigError: the family or a key is unknown, or a value is out of range.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"codec settings are {data!r}; expected a table of names and values")
    name = data.get("family", DEFAULT)
    config = family(name).Config
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "family"}
    if unknown := set(settings) - {field.name for field in dataclasses.fields(config)}:
        raise ConfigError(f"unknown {name} setting {', '.join(sorted(unknown))}")
    check_values(config, settings)
    return config(**settings)


def build(config: FamilyConfig) -> SoundStream:
    """Fresh networks of a codec."""
    return family(config.family).build(config)
