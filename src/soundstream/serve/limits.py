"""What a server takes from the people it serves: sizes, durations, times and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from soundstream.errors import LimitError


@dataclass(frozen=True)
class Limits:
    """Bounds of one server; beyond them a client gets a LimitError."""

    upload_bytes: int = 25_000_000
    """Size of a file that is sent."""
    upload_s: float = 60.0
    """Time in which it must arrive."""
    duration_s: float = 60.0
    """Audio of a clip; of a longer one the first part is taken, and the answer says so."""
    channels: int = 2
    """Channels of a clip."""
    clips_bytes: int = 500_000_000
    """Audio kept for all clients together; the oldest clip goes first."""
    clients: int = 16
    """Connections and uploads at once, each."""
    job_s: float = 120.0
    """Time to code one clip once."""
    idle_s: float = 900.0
    """Time without a message after which a connection is closed."""
    message_bytes: int = 1_000_000
    """Size of a message on a connection."""
    live_clients: int = 4
    """Live connections at once."""
    live_s: float = 300.0
    """Duration of a live connection."""


class Places:
    """A number of places, each held by one client at a time.

    Args:
        count: places.
        what: what holds them, for the message.
    """

    def __init__(self, count: int, what: str) -> None:
        self._count = count
        self._what = what
        self._held = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            LimitError: all are taken.
        """
        if self._held >= self._count:
            raise LimitError(f"all {self._count} places for {self._what} are taken; try again in a minute")
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
