"""Ranges of settings, said where a dataclass has its fields: `width: Annotated[int, Whole(1, 4096)] = 256`."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from functools import cache
from typing import Any

from soundstream.errors import ConfigError


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`, or a tuple of such that is not empty."""

    low: int
    high: int

    def check(self, name: str, value: object) -> None:
        """Raises ConfigError for anything else."""
        several = isinstance(value, tuple)
        values = value if isinstance(value, tuple) else (value,)
        if not values or not all(type(one) is int and self.low <= one <= self.high for one in values):
            kind = "whole numbers" if several else "a whole number"
            raise ConfigError(f"{name} is {value!r}; expected {kind} from {self.low} to {self.high}")


@dataclass(frozen=True)
class OneOf:
    """One of some words."""

    words: tuple[str, ...]

    def check(self, name: str, value: object) -> None:
        """Raises ConfigError for anything else."""
        if value not in self.words:
            raise ConfigError(f"{name} is {value!r}; expected one of: {', '.join(self.words)}")


@dataclass(frozen=True)
class Flag:
    """True or false, and no number."""

    def check(self, name: str, value: object) -> None:
        """Raises ConfigError for anything else."""
        if not isinstance(value, bool):
            raise ConfigError(f"{name} is {value!r}; expected true or false")


def check_limits(settings: object) -> None:
    """Check every field of a dataclass that says its range.

    Raises:
        ConfigError: a field is out of its range.
    """
    kind: Any = type(settings)
    check_values(kind, {name: getattr(settings, name) for name in _limits(kind)})


def check_values(kind: Any, values: dict[str, Any]) -> None:
    """Check what some fields of a dataclass are to be, before there is one.

    Raises:
        ConfigError: a value is out of its field's range.
    """
    for name, value in values.items():
        for limit in _limits(kind)[name]:
            limit.check(name, value)


@cache
def _limits(kind: Any) -> dict[str, list[Whole | OneOf | Flag]]:
    """The ranges of a dataclass's fields, by name."""
    hints = typing.get_type_hints(kind, include_extras=True)
    annotations = {field.name: getattr(hints[field.name], "__metadata__", ()) for field in dataclasses.fields(kind)}
    return {
        name: [one for one in found if isinstance(one, Whole | OneOf | Flag)] for name, found in annotations.items()
    }
