"""Opus with its band forced, which FFmpeg's interface cannot do: it only sets an upper limit.

Plain Opus at 12 kbit/s codes speech up to 8 kHz, so that a comparison there is mostly one of bandwidth. The library is
the one that the package `av` bundles, called directly; `av` then packs the packets into Ogg and decodes them as ever.
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundstream import audio
from soundstream.errors import CodecError
from soundstream.evaluate.baselines import ffmpeg_decode, import_av

Array = NDArray[np.float32]

SUPER_WIDE_BAND = 1104
"""Up to 12 kHz, as `opus_defines.h` numbers it."""

_RATE = 48_000
_FRAME = 960  # 20 ms
_AUDIO, _SET_BITRATE, _SET_BANDWIDTH, _GET_LOOKAHEAD = 2049, 4002, 4008, 4027
_MAX_PACKET = 4000


@dataclass(frozen=True)
class ForcedOpus:
    """Encodes Opus (VBR, 20 ms, best quality) with the band that is asked for, whatever the bit rate."""

    bitrate: int
    band: int = SUPER_WIDE_BAND

    def packets(self, pcm: Array, sample_rate: int) -> list[bytes]:
        """Opus packets of pcm `[1, samples]`, enough for the encoder's delay as well."""
        library = _library()
        pcm = audio.resample(pcm, sample_rate, _RATE)[0]
        with _encoder(library) as encoder:
            for setting, value in ((_SET_BITRATE, self.bitrate), (_SET_BANDWIDTH, self.band)):
                _check(library.opus_encoder_ctl(encoder, setting, ctypes.c_int(value)))
            late = ctypes.c_int()
            _check(library.opus_encoder_ctl(encoder, _GET_LOOKAHEAD, ctypes.byref(late)))
            frames = -(-(len(pcm) + late.value) // _FRAME)
            pcm = np.pad(pcm, (0, frames * _FRAME - len(pcm)))
            return [_encode(library, encoder, frame) for frame in pcm.reshape(-1, _FRAME)]

    def encode(self, pcm: Array, sample_rate: int) -> bytes:
        """The whole Ogg file."""
        file = io.BytesIO()
        av = import_av()
        with av.open(file, "w", format="ogg") as output:
            stream = output.add_stream("libopus", rate=_RATE, layout="mono")
            stream.codec_context.open()
            for number, data in enumerate(self.packets(pcm, sample_rate)):
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, stream.codec_context.time_base
                packet.pts = packet.dts = number * _FRAME
                packet.duration = _FRAME
                output.mux(packet)
        return file.getvalue()

    def decode(self, data: bytes) -> tuple[Array, int]:
        """Audio at 48 kHz."""
        return ffmpeg_decode(data)


@lru_cache
def _library() -> Any:
    package = Path(import_av().__file__).parent
    folders = package.with_name("av.libs"), package / ".dylibs"
    found = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*opus*"))]
    if not found:
        raise CodecError("opus-swb needs a package av that bundles libopus; install the wheel of av from PyPI")
    library = ctypes.CDLL(str(found[0]))
    library.opus_encoder_create.restype = ctypes.c_void_p
    library.opus_encoder_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int]  # the third argument's type varies
    return library


@contextmanager
def _encoder(library: Any) -> Iterator[ctypes.c_void_p]:
    status = ctypes.c_int()
    encoder = ctypes.c_void_p(library.opus_encoder_create(_RATE, 1, _AUDIO, ctypes.byref(status)))
    _check(status.value)
    try:
        yield encoder
    finally:
        library.opus_encoder_destroy(encoder)


def _encode(library: Any, encoder: ctypes.c_void_p, frame: Array) -> bytes:
    data = ctypes.create_string_buffer(_MAX_PACKET)
    samples = np.ascontiguousarray(frame, np.float32).ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    size = _check(library.opus_encode_float(encoder, samples, _FRAME, data, _MAX_PACKET))
    return data.raw[:size]


def _check(status: int) -> int:
    if status < 0:
        raise CodecError(f"libopus refused with code {status}")
    return status
