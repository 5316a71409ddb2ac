"""Optional packages: what to say when one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from soundstream.errors import CodecError

DISTRIBUTION = "soundstream-codec"
"""What `pip` calls the package; `soundstream` is somebody else's."""


def extra(*names: str) -> str:
    """What follows `pip install` to get the package with these extras."""
    return f"'{DISTRIBUTION}[{','.join(names)}]'"


@contextmanager
def needs(install: str) -> Iterator[None]:
    """Around imports of optional packages: a missing one is named together with the line that installs it.

    Args:
        install: what follows `pip install`.
    Raises:
        CodecError: an import inside failed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise CodecError(f"this command needs {error.name}; install it with: pip install {install}") from error
