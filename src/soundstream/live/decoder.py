"""Live packets, with gaps, to sound without any."""

from __future__ import annotations

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.audio.checks import soft_limit
from soundstream.audio.live_resampling import LiveResampler
from soundstream.bitstream.live import LIVE_SEQUENCES
from soundstream.live.concealment import Concealer
from soundstream.live.payload import Content, Payloads
from soundstream.live.session import Session, check_causal
from soundstream.runtime.model import Model
from soundstream.runtime.stream import DecoderStream, silence_of


class LiveDecoder(Session):
    """Packets in, pcm in [-1, 1] out, softly limited near full scale; made by `Codec.open_decoder`.

    Packets are pushed in the order of their sequence numbers, the lost ones as None. Each gives its time in sound,
    later than the encoder took it by `spec.delay_samples`.

    Args:
        sample_rate: Hz of the pcm, 8,000 to 192,000, whatever the encoder's.
        denoise: how much noise to remove, with a model whose decoder was trained for it: 0 none, 1 all that can be.
    Raises:
        AudioError, ConfigError: a value is not supported.
    """

    def __init__(self, model: Model, sample_rate: int, channels: int, denoise: float = 0.0) -> None:
        super().__init__(sample_rate, channels)
        check_causal(model.spec)
        self._spec, self._quantizer = model.spec, model.quantizer
        streams = model.spec.streams(channels)
        self._payloads = Payloads(model.spec, streams)
        self._stream = DecoderStream(model, channels, denoise)
        bands = model.spec.levels.bands if model.spec.levels else 0
        self._concealer = Concealer(silence_of(model), streams, model.spec.frame_rate, bands)
        self._resampler = LiveResampler(model.spec.sample_rate, self.sample_rate, channels)
        self._sequence: int | None = None
        self._frames = 1

    @property
    def latency_ms(self) -> float:
        """Time from a packet's coming to its sound, beyond that of the sound itself, if computing took no time."""
        return self._resampler.latency_ms + 1000 * self._spec.delay_samples / self._spec.sample_rate

    def push(self, packet: bytes | None, following: bytes | None = None) -> Array:
        """Sound `[channels, samples]` of one packet; with resampling some of it comes with the next one.

        A lost packet sounds as the copy in the one that follows it, or else as its neighbours make likely; a gap of
        more than a third of a second ends in silence. It is taken to have as many frames as the last one that came,
        one frame before any.

        Args:
            packet: None if it is lost.
            following: where `packet` is lost, the one after it, if it is here already; push it again in its own turn.
        Raises:
            BitstreamError: a packet is damaged or foreign; nothing changed, so that None may be pushed in its place.
            ConfigError: the session is over.
        """
        self._check_open()
        if packet is None:
            return self._lost(following)
        content = self._payloads.unpack(packet)
        self._sequence, self._frames = content.sequence, content.codes.shape[2]
        return self._received(content.codes)

    def flush(self) -> Array:
        """Sound that the resampler still holds; the session is over."""
        if self._over:
            return np.zeros((self.channels, 0), np.float32)
        self._over = True
        return soft_limit(self._resampler.flush())

    def _lost(self, following: bytes | None) -> Array:
        content = self._next_but_one(following) if following is not None else None
        if self._sequence is not None:
            self._sequence = (self._sequence + 1) % LIVE_SEQUENCES
        if content is not None and content.copy.shape[1]:
            return self._received(content.copy)
        latents = None if content is None else self._quantizer.decode(content.codes)
        return self._sound(self._concealer.guess(self._frames, latents))

    def _next_but_one(self, packet: bytes) -> Content | None:
        """What a packet holds, if it is the second from here; before the first one came, any may be."""
        content = self._payloads.unpack(packet)
        if self._sequence is not None and content.sequence != (self._sequence + 2) % LIVE_SEQUENCES:
            return None
        return content

    def _received(self, codes: Codes) -> Array:
        latents = self._quantizer.decode(codes)
        self._concealer.note(latents)
        return self._sound(latents)

    def _sound(self, latents: Array) -> Array:
        return soft_limit(self._resampler.push(self._stream.push_latents(latents)))
