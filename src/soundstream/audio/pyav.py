"""FFmpeg's decoders through PyAV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, BinaryIO

import av
import numpy as np

from soundstream.audio.formats.views import Gap
from soundstream.audio.frames import CONTAINERS, NO_SOUND, FrameSound
from soundstream.audio.metadata import chosen_tags
from soundstream.errors import AudioError

_ESTIMATED = {"aac", "latm", "ac3", "eac3", "mp3", "dts", "amr", "mpeg", "mpegts"}
"""Containers whose duration FFmpeg guesses from the number of bytes."""


@contextmanager
def open_sound(file: BinaryIO) -> Iterator[FrameSound]:
    """Open the best audio stream of a seekable file.

    Raises:
        AudioError: there is none; the message is only the reason.
    """
    try:
        container = av.open(file, options={"format_whitelist": CONTAINERS}, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise AudioError(error.strerror or str(error)) from error
    with container:
        stream = container.streams.best("audio")
        if stream is None:
            raise AudioError(NO_SOUND)
        if stream.codec_context is None:
            raise AudioError("nothing decodes the codec that it names")
        decoder = _Decoder(container, stream)
        frames = decoder.frames()
        first = next(frames, None)
        if first is None:
            raise AudioError("nothing of its sound can be decoded")
        duration_s = _duration_s(container, stream)
        sound = FrameSound(decoder.sample_rate, len(first), chain([first], frames), duration_s, decoder.gaps)
        sound.tags = chosen_tags({**stream.metadata, **container.metadata})
        yield sound


class _Decoder:
    """Frames of a stream as pcm of one rate and layout, those of the first frame."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self.sample_rate = 0
        self.gaps: list[Gap] = []
        self._samples = 0
        self._late = _opus_skip(stream.codec_context)
        """Samples before the sound that are still to be left out; until a frame comes of what FFmpeg leaves out too."""
        self._begun = False

    def frames(self) -> Iterator[np.ndarray]:
        """Yield float32 [channels, samples]."""
        resampler, layout, form = av.AudioResampler(), "", None
        for frame in self._decoded():
            self.sample_rate, layout = self.sample_rate or frame.sample_rate, layout or frame.layout.name
            if form != (form := (frame.format.name, frame.layout.name, frame.sample_rate)):
                resampler = av.AudioResampler("flt", layout, self.sample_rate)  # PyAV breaks on 8 planes
            for converted in self._resampled(resampler, frame):
                pcm = converted.to_ndarray().reshape(converted.samples, -1).T[:, self._late :]
                self._late = max(0, self._late - converted.samples)
                self._samples += pcm.shape[1]
                if pcm.size:
                    yield np.ascontiguousarray(pcm)

    def _decoded(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet else []
            except av.error.FFmpegError:
                self._lose()  # demux is over after an error of its own
                continue
            if packet is None:
                return
            if self._late and not self._begun:
                self._late -= _opus_samples(bytes(packet)) - sum(frame.samples for frame in frames)
                self._late, self._begun = max(0, self._late), bool(frames)
            yield from frames

    def _resampled(self, resampler: av.AudioResampler, frame: Any) -> list[Any]:
        try:
            return resampler.resample(frame)
        except av.error.FFmpegError:  # of a damaged frame whose form cannot be
            self._lose()
            return []

    def _lose(self) -> None:
        at_s = self._samples / (self.sample_rate or 1)
        if not self.gaps or self.gaps[-1].at_s != at_s:
            self.gaps.append(Gap("something there cannot be decoded", at_s))


def _opus_skip(context: Any) -> int:
    """Samples at 48 kHz that a stream of Opus begins with and that are no sound; 0 of other codecs.

    FFmpeg leaves too few out where the container names another rate, that of what was encoded.
    """
    head = bytes(context.extradata or b"")
    return int.from_bytes(head[10:12], "little") if head.startswith(b"OpusHead") else 0


def _opus_samples(packet: bytes) -> int:
    """Samples of a packet of Opus at 48 kHz: RFC 6716, 3.1 and 3.2."""
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 16:
        samples = (480, 960, 1920, 2880)[config & 3] if config < 12 else (480, 960)[config & 1]
    else:
        samples = (120, 240, 480, 960)[config & 3]
    return samples * (1 if code == 0 else 2 if code < 3 else packet[1] & 63)


def _duration_s(container: Any, stream: Any) -> float | None:
    """What the container says of this stream, not what FFmpeg guesses."""
    if container.format.name in _ESTIMATED:
        return None
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    said = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))  # Matroska
    return 3600 * int(said[1]) + 60 * int(said[2]) + float(said[3]) if said else None
