"""Ranges of the format's fields: the same check answers a caller and a file, with the error that fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from soundstream.errors import ConfigError, InvalidField


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Refuse a value that the field cannot hold.

    Raises:
        ConfigError: value is not a whole number from low to high.
    """
    if not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; expected a whole number from {low} to {high}")


@contextmanager
def read_from_file() -> Iterator[None]:
    """Turn the ConfigError of a value into the InvalidField of a file that holds it."""
    try:
        yield
    except ConfigError as error:
        raise InvalidField(f"the file is damaged or was not written by an encoder: {error}") from error
