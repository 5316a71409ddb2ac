"""What both ends of a live session share: a form of audio, and an end."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from soundstream import audio
from soundstream.errors import ConfigError


class Session:
    """One direction of one call; used by one thread at a time. Leaving its `with` block ends it.

    Raises:
        AudioError: the sample rate or the number of channels is not supported.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        audio.check_format(sample_rate, channels)
        self.sample_rate = audio.whole_rate(sample_rate)
        """Hz of the pcm outside."""
        self.channels = channels
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True

    def _check_open(self) -> None:
        if self._over:
            raise ConfigError("this session is over; open a new one")
