"""WAV without seeking: for pipes, where the header goes out before the sound is there."""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np

from soundstream.audio.checks import to_int16

WAV_BYTES = 2**32 - 1024
"""What a WAV file can hold: its sizes have 32 bits."""
BYTES = {"16": 2, "24": 3, "float": 4}
"""Bytes of a sample, by what a person calls it."""

_UNKNOWN = 2**32 - 1
_PCM, _FLOAT = 1, 3


class WavPipe:
    """Writes WAV to a pipe at once.

    Args:
        bits: 16, 24 or float.
        num_samples: samples per channel that will be written; None is a header without a length, which readers of
            streams understand, as it is for more than 4 GiB.
    """

    def __init__(
        self, stream: BinaryIO, sample_rate: int, channels: int, bits: str = "16", num_samples: int | None = None
    ) -> None:
        self._stream, self._bits = stream, bits
        frame = BYTES[bits] * channels
        size = _UNKNOWN if num_samples is None or num_samples * frame > WAV_BYTES else num_samples * frame
        code = _FLOAT if bits == "float" else _PCM
        form = struct.pack("<HHIIHH", code, channels, sample_rate, frame * sample_rate, frame, 8 * BYTES[bits])
        riff = _UNKNOWN if size == _UNKNOWN else 36 + size + size % 2
        head = struct.pack("<4sI4s4sI", b"RIFF", riff, b"WAVE", b"fmt ", len(form))
        self._put(head + form + struct.pack("<4sI", b"data", size))
        self._odd = size != _UNKNOWN and size % 2 == 1

    def write(self, pcm: np.ndarray) -> None:
        """Append pcm [channels, samples]; what lies outside [-1, 1] is clipped, unless it is written as float."""
        self._put(_packed(pcm.T, self._bits))

    def finish(self) -> None:
        """The chunk of an odd number of bytes ends with one more."""
        if self._odd:
            self._put(b"\0")

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self._stream.flush()


def to_int24(pcm: np.ndarray) -> np.ndarray:
    """Samples of 24 bits, as int32; what lies outside [-1, 1] is clipped."""
    return np.clip(np.rint(pcm * 2.0**23), -(2**23), 2**23 - 1).astype(np.int32)


def _packed(samples: np.ndarray, bits: str) -> bytes:
    """The bytes of samples [samples, channels], low byte first."""
    if bits == "16":
        return to_int16(samples).astype("<i2").tobytes()
    if bits == "float":
        return samples.astype("<f4").tobytes()
    four = np.ascontiguousarray(to_int24(samples).astype("<i4"))
    return four.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
