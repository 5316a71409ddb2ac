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


def check_limits(settings: object) -> None:
    """Check every field of a dataclass that says its range.

    Raises:
        ConfigError: a field is out of its range.
    """
    for name, limits in _limits(type(settings)).items():  # type: ignore[arg-type]
        for limit in limits:
            limit.check(name, getattr(settings, name))


@cache
def _limits(kind: Any) -> dict[str, list[Whole | OneOf]]:
    """The ranges of a dataclass's fields, by name."""
    hints = typing.get_type_hints(kind, include_extras=True)
    annotations = {field.name: getattr(hints[field.name], "__metadata__", ()) for field in dataclasses.fields(kind)}
    return {name: [one for one in found if isinstance(one, Whole | OneOf)] for name, found in annotations.items()}
