"""`.nac` files to audio, packet by packet, whole or damaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from soundstream import audio
from soundstream.bitstream import Loss, Reader, RepairingReader
from soundstream.blocks import Tail
from soundstream.codec.base import Array, Codes, LoadedModel
from soundstream.runtime.stream import DecoderStream

WARM_UP_FRAMES = 128
"""Frames decoded before the place that a reader seeks: more than what our decoders remember."""


class Damage(NamedTuple):
    """A part of a file that could not be decoded."""

    start_s: float
    duration_s: float
    packets: int
    reason: str


class Reading(LoadedModel):
    """What reads files, in constant memory."""

    def read(self, reader: Reader, start_s: float = 0.0, denoise: float = 0.0) -> Iterator[Array]:
        """Decode packet after packet to blocks of pcm `[channels, samples]`, in constant memory.

        Args:
            start_s: seconds to leave out, without decoding them, if the reader's stream can seek.
            denoise: as `decode`.
        Raises:
            BitstreamError: as `decode`; what came before the damage was yielded.
        """
        header = reader.header
        self.check_model(header)
        first_sample = round(start_s * header.sample_rate)
        if first_sample:
            frame = first_sample * self.config.sample_rate // (header.sample_rate * self.config.hop_length)
            reader.skip_to(max(0, frame - WARM_UP_FRAMES))
        pcm = self._pcm(self.coding.unpack(reader, header), header.channels, denoise)
        yield from self._restored(pcm, reader, first_sample)

    def repair(self, reader: RepairingReader, damage: list[Damage], denoise: float = 0.0) -> Iterator[Array]:
        """Decode what is whole of a damaged file, with silence in the places of what is not.

        Args:
            damage: takes what was lost, in order.
            denoise: as `decode`.
        Raises:
            BitstreamError: the header is of another model.
        """
        self.check_model(reader.header)
        items = self._noted(self.coding.repair(reader, reader.header), damage)
        yield from self._restored(self._pcm(items, reader.header.channels, denoise), reader, 0)

    def _noted(self, items: Iterable[Codes | Loss], damage: list[Damage]) -> Iterator[Codes | Loss]:
        frames = 0
        for item in items:
            length = item.frames if isinstance(item, Loss) else item.shape[2]
            if isinstance(item, Loss):
                rate = self.config.frame_rate
                damage.append(Damage(round(frames / rate, 3), round(length / rate, 3), item.packets, item.reason))
            frames += length
            yield item

    def _pcm(self, items: Iterable[Codes | Loss], channels: int, denoise: float) -> Iterator[Array]:
        """Decoded audio at the codec's rate, `delay_samples` late; a loss is silence with soft edges."""
        hop = self.config.hop_length
        ramp = np.linspace(0, 1, hop, dtype=np.float32)
        stream, last, rising = DecoderStream(self.model, channels, denoise), None, False
        for item in items:
            if isinstance(item, Loss) and not item.frames:
                continue
            if isinstance(item, Loss):
                silence = np.zeros((channels, item.frames * hop), np.float32)
                if last is not None:
                    silence[:, :hop] = stream.push(last) * ramp[::-1]
                yield silence
                stream, last, rising = DecoderStream(self.model, channels, denoise), None, True
                continue
            pcm = stream.push(item)
            if rising:
                pcm[:, :hop] *= ramp
            last, rising = item[:, :, -1:], False
            yield pcm

    def _restored(
        self, blocks: Iterable[Array], reader: Reader | RepairingReader, first_sample: int
    ) -> Iterator[Array]:
        """Blocks of the codec's rate at the rate of the file, from `first_sample` to its exact end."""
        header = reader.header
        rates = self.config.sample_rate, header.sample_rate
        resampler, late = audio.Resampler(*rates, header.channels), self.config.delay_samples
        given = reader.frames * self.config.hop_length * header.sample_rate // self.config.sample_rate
        tail = Tail(header.channels, 2 * audio.resampled_length(self.config.hop_length, *rates), given, first_sample)
        for pcm in blocks:
            yield tail.push(resampler.push(pcm[:, late:]))
            late = max(0, late - pcm.shape[1])
        yield tail.finish(resampler.flush(), reader.num_samples, exact=isinstance(reader, Reader))
