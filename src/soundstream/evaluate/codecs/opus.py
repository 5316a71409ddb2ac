"""Opus with its band forced, which FFmpeg's interface cannot do: it only sets an upper limit.

Plain Opus at 12 kbit/s codes speech up to 8 kHz, so that a comparison there is mostly one of bandwidth. The library is
the one that the package `av` bundles, called directly; `av` then packs the packets into Ogg and decodes them as ever.
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundstream import audio
from soundstream.arrays import Array
from soundstream.errors import CodecError
from soundstream.evaluate.codecs.ffmpeg import ffmpeg_decode, import_av

SUPER_WIDE_BAND = 1104
"""Up to 12 kHz, as `opus_defines.h` numbers it."""

_RATE = 48_000
_FRAME = 960  # 20 ms
_VOIP, _AUDIO = 2048, 2049
_SET_BITRATE, _SET_BANDWIDTH, _SET_FEC, _SET_LOSS, _GET_LOOKAHEAD = 4002, 4008, 4012, 4014, 4027
_MAX_PACKET = 4000


@dataclass(frozen=True)
class ForcedOpus:
    """Encodes Opus (VBR, 20 ms, best quality) with the band that is asked for, whatever the bit rate."""

    bitrate: int
    band: int = SUPER_WIDE_BAND

    def packets(self, pcm: Array, sample_rate: int) -> list[bytes]:
        """Opus packets of pcm `[1, samples]`, enough for the encoder's delay as well."""
        return _packets(pcm, sample_rate, _AUDIO, {_SET_BITRATE: self.bitrate, _SET_BANDWIDTH: self.band})

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


@dataclass(frozen=True)
class CallOpus:
    """Opus for calls (VBR, 20 ms, best quality), whose decoder conceals lost packets by its own means."""

    bitrate: int
    loss_percent: int = 0
    """Loss that the encoder is told to expect; where the rate allows, each packet then repeats the one before."""

    def packets(self, pcm: Array, sample_rate: int) -> list[bytes]:
        """Opus packets of pcm `[1, samples]`, enough for the encoder's delay as well."""
        redundancy = {_SET_FEC: int(self.loss_percent > 0), _SET_LOSS: self.loss_percent}
        return _packets(pcm, sample_rate, _VOIP, {_SET_BITRATE: self.bitrate, **redundancy})

    def decode(self, packets: Sequence[bytes], lost: Sequence[bool] | NDArray[np.bool_]) -> Array:
        """Sound `[samples]` at 48 kHz; a lost packet is taken from the one after it, if this came and repeats it."""
        library, status = _library(), ctypes.c_int()
        decoder = ctypes.c_void_p(library.opus_decoder_create(_RATE, 1, ctypes.byref(status)))
        _check(status.value)
        try:
            return np.concatenate([_decode(library, decoder, *slot) for slot in self._slots(packets, lost)])
        finally:
            library.opus_decoder_destroy(decoder)

    def _slots(
        self, packets: Sequence[bytes], lost: Sequence[bool] | NDArray[np.bool_]
    ) -> Iterator[tuple[bytes | None, bool]]:
        """For each packet what the decoder is given, and whether that repeats the packet instead of being it."""
        for i, packet in enumerate(packets):
            repeated = bool(lost[i]) and self.loss_percent > 0 and i + 1 < len(packets) and not lost[i + 1]
            yield (packets[i + 1] if repeated else None if lost[i] else packet), repeated


def _packets(pcm: Array, sample_rate: int, application: int, settings: Mapping[int, int]) -> list[bytes]:
    library = _library()
    pcm = audio.resample(pcm, sample_rate, _RATE)[0]
    with _encoder(library, application) as encoder:
        for setting, value in settings.items():
            _check(library.opus_encoder_ctl(encoder, setting, ctypes.c_int(value)))
        late = ctypes.c_int()
        _check(library.opus_encoder_ctl(encoder, _GET_LOOKAHEAD, ctypes.byref(late)))
        frames = -(-(len(pcm) + late.value) // _FRAME)
        pcm = np.pad(pcm, (0, frames * _FRAME - len(pcm)))
        return [_encode(library, encoder, frame) for frame in pcm.reshape(-1, _FRAME)]


@lru_cache
def _library() -> Any:
    package = Path(import_av().__file__).parent
    folders = package.with_name("av.libs"), package / ".dylibs"
    found = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*opus*"))]
    if not found:
        raise CodecError("opus-swb needs a package av that bundles libopus; install the wheel of av from PyPI")
    library = ctypes.CDLL(str(found[0]))
    library.opus_encoder_create.restype = library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_encoder_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int]  # the third argument's type varies
    return library


@contextmanager
def _encoder(library: Any, application: int) -> Iterator[ctypes.c_void_p]:
    status = ctypes.c_int()
    encoder = ctypes.c_void_p(library.opus_encoder_create(_RATE, 1, application, ctypes.byref(status)))
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


def _decode(library: Any, decoder: ctypes.c_void_p, data: bytes | None, repeated: bool) -> Array:
    pcm = np.zeros(_FRAME, np.float32)
    samples = pcm.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    _check(library.opus_decode_float(decoder, data, len(data or b""), samples, _FRAME, int(repeated)))
    return pcm


def _check(status: int) -> int:
    if status < 0:
        raise CodecError(f"libopus refused with code {status}")
    return status
