"""Codecs of the FFmpeg libraries that the package `av` bundles: Opus and MP3."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from soundstream import audio
from soundstream.arrays import Array
from soundstream.errors import CodecError
from soundstream.system.extras import extra

OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
MP3_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@dataclass(frozen=True)
class Ffmpeg:
    """A codec of the FFmpeg libraries that the package `av` bundles."""

    encoder: str
    """FFmpeg's name of it, such as libopus."""
    container: str
    rates: tuple[int, ...]
    """Sample rates in Hz it takes; the audio is resampled to the next one up."""
    bitrate: int
    options: tuple[tuple[str, str], ...] = ()
    """Settings of the encoder, as FFmpeg names them."""

    def encode(self, pcm: Array, sample_rate: int) -> bytes:
        """The whole file."""
        rate = next((rate for rate in self.rates if rate >= sample_rate), self.rates[-1])
        pcm = audio.resample(pcm, sample_rate, rate)
        file = io.BytesIO()
        with import_av().open(file, "w", format=self.container) as output:
            stream = output.add_stream(self.encoder, rate=rate, layout="mono", options=dict(self.options))
            stream.bit_rate = self.bitrate
            for frame in [*_frames(pcm, rate, stream.format.name), None]:
                output.mux(stream.encode(frame))
        return file.getvalue()

    def decode(self, data: bytes) -> tuple[Array, int]:
        """Audio at the rate that FFmpeg decodes to: 48 kHz for Opus."""
        return ffmpeg_decode(data)


def ffmpeg_decode(data: bytes) -> tuple[Array, int]:
    """Mono audio `[1, samples]` of any file that FFmpeg reads, and its sample rate in Hz."""
    av = import_av()
    with av.open(io.BytesIO(data)) as source:
        rate = source.streams.audio[0].rate
        to_float = av.AudioResampler(format="fltp", layout="mono", rate=rate)
        frames = [part for frame in source.decode(audio=0) for part in to_float.resample(frame)]
    return np.concatenate([np.zeros((1, 0), np.float32), *(frame.to_ndarray() for frame in frames)], axis=1), rate


def import_av() -> Any:
    """The package `av`, or an error that says how to get it."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise CodecError(f"Opus and MP3 need the package av; install it with: pip install {extra('eval')}") from error
    return av


def _frames(pcm: Array, rate: int, sample_format: str) -> Iterator[Any]:
    av = import_av()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm), format="fltp", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format=sample_format, layout="mono", rate=rate)
    yield from resampler.resample(frame)
    yield from resampler.resample(None)
