"""Microphone and speaker, through the optional package sounddevice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from soundstream.arrays import Array
from soundstream.errors import AudioError, CodecError
from soundstream.live.pipes import Source, piece_samples
from soundstream.system.extras import extra, needs

PREFILL_S = 0.04
"""Sound that waits before the speaker starts, or starts again: its blocks do not come when packets do."""
TRIM_S = 0.12
"""Above this much waiting sound, quiet blocks are left out, so that delay of a bad time does not stay."""
MAX_S = 0.5
"""Never more waits; the oldest is left out."""
_QUIET = 0.01  # highest sample of a block that may be left out unheard
_EDGE_S = 0.003  # softens where sound runs out and begins again


class Playback:
    """Sound on its way to a speaker, whose thread takes blocks of it when it wants them.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.sample_rate = sample_rate
        self.channels = channels
        self._lock = threading.Lock()
        self._waiting = np.zeros((channels, 0), np.float32)
        self._last = np.zeros(channels, np.float32)
        self._playing = self._finishing = False

    @property
    def waiting_s(self) -> float:
        """Seconds of sound that the speaker has not taken yet."""
        return self._waiting.shape[1] / self.sample_rate

    def write(self, pcm: Array) -> None:
        """Append pcm `[channels, samples]`."""
        if self.waiting_s > TRIM_S and np.abs(pcm).max(initial=0.0) < _QUIET:
            return
        with self._lock:
            most = round(MAX_S * self.sample_rate)
            self._waiting = np.concatenate([self._waiting, pcm], axis=1)[:, -most:]

    def fill(self, block: Array) -> None:
        """Fill the speaker's block `[samples, channels]`; where sound has run out it is silence with a soft edge."""
        block[:] = 0
        with self._lock:
            begins = not self._playing
            self._playing |= self._finishing or self.waiting_s >= PREFILL_S
            if self._playing:
                self._play(block, begins)

    def wait(self) -> None:
        """Let the speaker play what is left; return when it has, or should have."""
        self._finishing = True
        end = time.monotonic() + self.waiting_s + 2 * PREFILL_S
        while self.waiting_s and time.monotonic() < end:
            time.sleep(PREFILL_S / 4)

    def _play(self, block: Array, begins: bool) -> None:
        taken, self._waiting = np.split(self._waiting, [len(block)], axis=1)
        count, edge = taken.shape[1], max(1, round(_EDGE_S * self.sample_rate))
        block[:count] = taken.T
        if begins:
            rise = np.minimum(1.0, np.arange(1, count + 1) / edge)
            block[:count] *= rise[:, None].astype(np.float32)
        if count:
            self._last = block[count - 1].copy()
        if count < len(block):
            fall = np.maximum(0.0, 1 - np.arange(1, len(block) - count + 1) / edge)
            block[count:] = fall[:, None].astype(np.float32) * self._last
            self._playing = False


@contextmanager
def open_microphone() -> Iterator[Source]:
    """Sound of the default microphone, at its own rate, one channel.

    Raises:
        CodecError: sounddevice or PortAudio is not installed.
        AudioError: there is no microphone, or it cannot be used.
    """
    sounddevice = _sounddevice()
    with _named(sounddevice, "microphone"):
        sample_rate = int(sounddevice.query_devices(kind="input")["default_samplerate"])
        stream = sounddevice.InputStream(sample_rate, channels=1, dtype="float32")
    with stream:
        yield Source(sample_rate, 1, _recorded(stream, piece_samples(sample_rate)))


@contextmanager
def open_speaker(channels: int) -> Iterator[Playback]:
    """The default speaker, at its own rate; leaving the block waits for what is left to be played.

    Raises:
        CodecError: sounddevice or PortAudio is not installed.
        AudioError: there is no speaker, or it cannot be used.
    """
    sounddevice = _sounddevice()
    with _named(sounddevice, "speaker"):
        sample_rate = int(sounddevice.query_devices(kind="output")["default_samplerate"])
        playback = Playback(sample_rate, channels)

        def fill(block: Array, samples: int, clock: object, status: object) -> None:
            playback.fill(block)

        stream = sounddevice.OutputStream(sample_rate, channels=channels, dtype="float32", latency="low", callback=fill)
    with stream:
        yield playback
        playback.wait()


def _recorded(stream: Any, samples: int) -> Iterator[Array]:
    while True:
        block, _ = stream.read(samples)
        yield np.ascontiguousarray(block.T)


def _sounddevice() -> Any:
    try:
        with needs(extra("live")):
            import sounddevice
    except OSError as error:  # how it says that it does not find PortAudio
        raise CodecError(
            "sounddevice finds no PortAudio library; install it with your system's package manager, "
            "such as: apt-get install libportaudio2"
        ) from error
    return sounddevice


@contextmanager
def _named(sounddevice: Any, what: str) -> Iterator[None]:
    try:
        yield
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AudioError(f"no {what} can be used ({error}); connect one, or use a file or a pipe") from error
