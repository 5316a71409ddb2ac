"""LC3, the codec of Bluetooth LE Audio, through the package `lc3py`, which bundles the reference library."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from soundstream import audio
from soundstream.arrays import Array
from soundstream.errors import ConfigError
from soundstream.system.extras import extra, needs

FRAME_US = 10_000
RATES = (8_000, 16_000, 24_000, 32_000, 48_000)
MIN_BITRATE = 16_000

_HEAD = struct.Struct("<IH")  # sample rate, bytes of a frame: less than any container costs


@dataclass(frozen=True)
class Lc3:
    """LC3 at a constant rate in frames of 10 ms, at the audio's own sample rate or the next one up.

    Raises:
        ConfigError: LC3 does not go this low.
    """

    bitrate: int

    def __post_init__(self) -> None:
        if self.bitrate < MIN_BITRATE:
            raise ConfigError(f"lc3:{self.bitrate} is below the {MIN_BITRATE} bit/s at which LC3 begins")

    def encode(self, pcm: Array, sample_rate: int) -> bytes:
        """Six bytes of head and the frames of pcm `[1, samples]`, enough of them for the codec's delay as well."""
        rate = next((rate for rate in RATES if rate >= sample_rate), RATES[-1])
        pcm = audio.resample(pcm, sample_rate, rate)[0]
        encoder = _lc3().Encoder(FRAME_US, rate)
        size, samples = encoder.get_frame_bytes(self.bitrate), encoder.get_frame_samples()
        pcm = np.pad(pcm, (0, encoder.get_delay_samples() + samples))
        frames = (encoder.encode(pcm[i : i + samples].tolist(), size) for i in range(0, len(pcm) - samples, samples))
        return _HEAD.pack(rate, size) + b"".join(frames)

    def decode(self, data: bytes) -> tuple[Array, int]:
        """Audio `[1, samples]`, late by the codec's delay, and its sample rate."""
        rate, size = _HEAD.unpack_from(data)
        decoder = _lc3().Decoder(FRAME_US, rate)
        frames = [decoder.decode(frame) for frame in _split(data[_HEAD.size :], size)]
        return np.array(frames, np.float32).reshape(1, -1), rate


def _split(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


def _lc3() -> Any:
    with needs(extra("eval")):
        import lc3
    return lc3
