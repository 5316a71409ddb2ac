"""Sound as it comes, in chunks of any length, to live packets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.audio.live_resampling import LiveResampler
from soundstream.bitstream.fields import check_range
from soundstream.bitstream.live import LIVE_FRAMES, LIVE_SEQUENCES
from soundstream.live.payload import Content, Payloads
from soundstream.live.session import Session, check_causal
from soundstream.runtime.model import Model
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import EncoderStream

LIVE_EFFORT = 1
"""Paths that the search for the codes of a live session keeps: each more makes a hop longer by a quarter and more."""


class LiveEncoder(Session):
    """pcm in, packets out; made by `Codec.open_encoder`.

    Args:
        sample_rate: Hz of the pcm, 8,000 to 192,000.
        options: without those that only files have; the bit rate is without the packets' two bytes and their copies.
        packet_frames: frames of a packet, 1 to 4; each further one adds a hop of delay and saves two bytes a hop.
        redundancy: codebooks of the packet before that each packet repeats, from the first on; 0 to all.
    Raises:
        AudioError, ConfigError: a value is not supported.
    """

    def __init__(
        self,
        model: Model,
        sample_rate: int,
        channels: int,
        options: EncodeOptions,
        *,
        packet_frames: int = 1,
        redundancy: int = 0,
    ) -> None:
        super().__init__(sample_rate, channels)
        check_range("packet_frames", packet_frames, 1, LIVE_FRAMES)
        check_range("redundancy", redundancy, 0, model.spec.num_quantizers)
        check_causal(model.spec)
        options.check_stream(model.spec)
        self._spec, self._stream = model.spec, EncoderStream(model, channels, options, wait=False)
        self._payloads = Payloads(model.spec, model.spec.streams(channels))
        self._payloads.check_redundancy(redundancy, packet_frames)
        self._redundancy = redundancy
        self._resampler = LiveResampler(self.sample_rate, model.spec.sample_rate, channels)
        self._held = np.zeros((channels, 0), np.float32)
        self._before: Codes = np.zeros((model.spec.streams(channels), 0, packet_frames), np.int64)
        self._packets = 0

    @property
    def bitrate(self) -> int:
        """Nominal bit/s of each channel; a new one holds from the next packet on.

        Raises:
            ConfigError: the model does not have this bit rate.
        """
        return self._stream.options.rates(self._spec)[0]

    @bitrate.setter
    def bitrate(self, bitrate: int) -> None:
        self._stream.options = replace(self._stream.options, bitrate=bitrate)

    @property
    def denoise(self) -> float:
        """How much noise is removed, 0 to 1; a new value is reached over some frames from the next packet on.

        Raises:
            ConfigError: it is not 0 to 1, or above 0 with a model that was not trained for it.
        """
        return self._stream.options.denoise

    @denoise.setter
    def denoise(self, denoise: float) -> None:
        self._stream.options = replace(self._stream.options, denoise=denoise)

    @property
    def latency_ms(self) -> float:
        """Longest time from a sample's coming to its packet, if computing took no time."""
        return self._resampler.latency_ms + 1000 * self._packet_samples / self._spec.sample_rate

    def push(self, pcm: np.ndarray) -> list[bytes]:
        """Take pcm `[channels, samples]` or `[samples]` of any length; give the packets that it completes, often none.

        Raises:
            AudioError: the audio has another form, or holds NaN or infinity; nothing was taken.
            ConfigError: the session is over.
        """
        pcm = self._checked(pcm)
        return self._take(self._resampler.push(pcm))

    def flush(self) -> list[bytes]:
        """Packets of what is still missing, filled up with zeros; the session is over."""
        if self._over:
            return []
        packets = self._take(self._resampler.flush())
        self._over = True
        if not self._packets and not self._held.shape[1]:
            return []
        owed = self._spec.delay_samples
        missing = owed + -(self._held.shape[1] + owed) % self._packet_samples
        return packets + self._take(np.zeros((self.channels, missing), np.float32))

    @property
    def _packet_samples(self) -> int:
        return self._before.shape[2] * self._spec.hop_length

    def _take(self, pcm: Array) -> list[bytes]:
        """Packets of pcm at the codec's rate. One packet a call of the network: chunks leave no trace in the codes."""
        held, size = np.concatenate([self._held, pcm], axis=1), self._packet_samples
        whole = held.shape[1] // size * size
        self._held = held[:, whole:].copy()
        return [self._packet(held[:, start : start + size]) for start in range(0, whole, size)]

    def _packet(self, pcm: Array) -> bytes:
        codes = self._stream.push(pcm)
        copy = self._before[:, : self._redundancy]
        content = Content(self._packets % LIVE_SEQUENCES, codes, copy)
        self._before, self._packets = codes, self._packets + 1
        return self._payloads.pack(content)
