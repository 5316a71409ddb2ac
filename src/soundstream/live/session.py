"""What both ends of a live session share: a form of audio, and an end."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np

from soundstream.audio.checks import check, check_format, whole_rate
from soundstream.errors import AudioError, ConfigError
from soundstream.spec import CodecSpec


class Session:
    """One direction of one call; used by one thread at a time. Leaving its `with` block ends it.

    Raises:
        AudioError: the sample rate or the number of channels is not supported.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        check_format(sample_rate, channels)
        self.sample_rate = whole_rate(sample_rate)
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

    def _checked(self, pcm: np.ndarray) -> np.ndarray:
        """pcm `[channels, samples]` as float32, if it may be pushed now.

        Raises:
            AudioError: it has another form, or holds NaN or infinity.
            ConfigError: the session is over.
        """
        self._check_open()
        pcm = check(pcm, self.sample_rate)
        if len(pcm) != self.channels:
            raise AudioError(f"audio has {len(pcm)} channels; this session has {self.channels}")
        return pcm


def check_causal(spec: CodecSpec) -> None:
    """Refuse a codec that cannot give a packet as soon as its sound has come.

    Raises:
        ConfigError: it looks ahead.
    """
    if not spec.is_causal or spec.granule > 1:
        raise ConfigError(
            "this codec looks ahead, or its codes cover several frames: take a causal one for live sessions"
        )
