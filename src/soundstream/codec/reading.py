"""`.nac` files to audio, packet by packet, whole or damaged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from numbers import Real
from typing import NamedTuple

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.audio.blocks import Tail, taken
from soundstream.audio.checks import soft_limit, whole_rate
from soundstream.audio.resample import Resampler, resampled_length
from soundstream.bitstream.container import Reader
from soundstream.bitstream.header import Header
from soundstream.bitstream.packet import Loss
from soundstream.bitstream.recovery import RepairingReader
from soundstream.codec.headers import check_header
from soundstream.codec.packing import Coding
from soundstream.errors import ConfigError
from soundstream.runtime.model import Model
from soundstream.runtime.stream import DecoderStream
from soundstream.spec import CodecSpec
from soundstream.system.files import named


class Damage(NamedTuple):
    """A part of a file that could not be decoded."""

    start_s: float
    duration_s: float
    packets: int
    reason: str


def check_start(start_s: float) -> None:
    """Refuse a start that is no number of seconds.

    Raises:
        ConfigError: it is negative, NaN or infinite.
    """
    if not isinstance(start_s, Real) or not 0 <= start_s < math.inf:
        raise ConfigError(f"the start is {start_s!r}; expected seconds from 0 on")


class Reading:
    """The half of `Codec` that reads files, in constant memory."""

    spec: CodecSpec
    model: Model
    model_id: bytes
    coding: Coding

    def read(
        self, reader: Reader, start_s: float = 0.0, denoise: float = 0.0, sample_rate: int | None = None
    ) -> Iterator[Array]:
        """Decode packet after packet to blocks of pcm `[channels, samples]` in [-1, 1], in constant memory.

        What comes near full scale is limited softly (`soundstream.audio.soft_limit`).

        Args:
            start_s: seconds to leave out; only a moment before is decoded too.
            denoise: as `decode`.
            sample_rate: Hz of the pcm; None is that of the original.
        Raises:
            AudioError: the sample rate is not supported.
            BitstreamError: as `decode`; what came before the damage was yielded.
            ConfigError: as `check_start`.
        """
        check_start(start_s)
        header = reader.header
        rate = header.sample_rate if sample_rate is None else whole_rate(sample_rate)
        with named(reader.name):
            check_header(header, self.spec, self.model_id)
            first_sample = _lead_in(header, rate) + round(start_s * rate)
            first_frame, place = self.start_before(first_sample, rate)
            reader.skip_to(first_frame)
            codes = taken(self.coding.unpack(reader, header), first_frame - reader.frames)
            yield from self._restored(self._pcm(codes, header.channels, denoise), reader, rate, first_sample, place)

    def start_before(self, sample: int, sample_rate: int) -> tuple[int, int]:
        """A frame from which to decode, early enough for the decoder to be warm, and its place in whole samples.

        It has codes of all codebooks. Of segments it begins one that is full, whatever follows: two of them may be
        short.
        """
        spec, early = self.spec, self.model.memory_frames
        step, frames = spec.hop_length, 1
        if spec.segment_samples:
            step, frames = spec.segment_samples - spec.overlap_samples, spec.segment_samples // spec.hop_length
            early = 2 + spec.segment_samples // step
        number = max(0, sample * spec.sample_rate // (step * sample_rate) - early)
        whole = spec.sample_rate // math.gcd(step * sample_rate, spec.sample_rate)
        number -= number % math.lcm(whole, spec.grid)
        return number * frames, number * step * sample_rate // spec.sample_rate

    def repair(
        self,
        reader: RepairingReader,
        damage: list[Damage],
        denoise: float = 0.0,
        sample_rate: int | None = None,
    ) -> Iterator[Array]:
        """Decode what is whole of a damaged file, with silence in the places of what is not.

        Args:
            damage: takes what was lost, in order.
            denoise, sample_rate: as `read`.
        Raises:
            AudioError: the sample rate is not supported.
            BitstreamError: the header is of another model.
        """
        header = reader.header
        rate = header.sample_rate if sample_rate is None else whole_rate(sample_rate)
        if self.spec.segment_samples:
            raise ConfigError("a damaged file of a codec with segments cannot be decoded yet; get a whole copy")
        with named(reader.name):
            check_header(header, self.spec, self.model_id)
        items = self._noted(self.coding.repair(reader, header), damage, header.lead_in / header.sample_rate)
        yield from self._restored(self._pcm(items, header.channels, denoise), reader, rate, _lead_in(header, rate))

    def _noted(self, items: Iterable[Codes | Loss], damage: list[Damage], lead_in_s: float) -> Iterator[Codes | Loss]:
        frames, rate = 0, self.spec.frame_rate
        for item in items:
            length = item.frames if isinstance(item, Loss) else item.shape[2]
            if isinstance(item, Loss):
                start_s = max(0.0, frames / rate - lead_in_s)
                damage.append(Damage(round(start_s, 3), round(length / rate, 3), item.packets, item.reason))
            frames += length
            yield item

    def _pcm(self, items: Iterable[Codes | Loss], channels: int, denoise: float) -> Iterator[Array]:
        """Decoded audio at the codec's rate, `delay_samples` late; a loss is silence with soft edges."""
        hop = self.spec.hop_length
        ramp = np.linspace(0, 1, hop, dtype=np.float32)
        stream, last, rising, place = DecoderStream(self.model, channels, denoise), None, False, 0
        for item in _in_pieces(items, self.model.block_frames):
            place += item.frames if isinstance(item, Loss) else item.shape[2]
            if isinstance(item, Loss) and not item.frames:
                continue
            if isinstance(item, Loss):
                silence = np.zeros((channels, item.frames * hop), np.float32)
                if not self.spec.is_causal:
                    yield stream.flush()
                elif last is not None:
                    silence[:, :hop] = stream.push(last) * ramp[::-1]
                yield silence
                stream, last, rising = DecoderStream(self.model, channels, denoise, place=place), None, True
                continue
            pcm = stream.push(item)
            if rising and pcm.shape[1]:
                pcm[:, :hop] *= ramp
            last, rising = item[:, :, -1:], rising and not pcm.shape[1]
            yield pcm
        if not self.spec.is_causal:
            yield stream.flush()

    def _restored(
        self,
        blocks: Iterable[Array],
        reader: Reader | RepairingReader,
        sample_rate: int,
        first_sample: int,
        place: int = 0,
    ) -> Iterator[Array]:
        """Blocks at the codec's rate, brought to another rate.

        Args:
            first_sample: at that rate, from the first frame of the file; what is before it is left out.
            place: of the first sample of the blocks, likewise.
        """
        channels, rates = reader.header.channels, (self.spec.sample_rate, sample_rate)
        resampler, late = Resampler(*rates, channels), self.spec.delay_samples
        held = resampled_length(self.spec.surplus_samples, *rates)
        tail = Tail(channels, held, place, first_sample)
        for pcm in blocks:
            yield soft_limit(tail.push(resampler.push(pcm[:, late:])))
            late = max(0, late - pcm.shape[1])
        samples = reader.num_samples
        if samples is not None:
            samples = resampled_length(samples, reader.header.sample_rate, sample_rate)
            samples += _lead_in(reader.header, sample_rate)
        yield soft_limit(tail.finish(resampler.flush(), samples, exact=isinstance(reader, Reader)))


def _lead_in(header: Header, sample_rate: int) -> int:
    """Samples of a rate before the first one that a file means; of other rates than its own up to one fewer."""
    return header.lead_in * sample_rate // header.sample_rate


def _in_pieces(items: Iterable[Codes | Loss], frames: int) -> Iterator[Codes | Loss]:
    """Codes in pieces of one call of the decoder, so that sound comes as soon as it can."""
    for item in items:
        if isinstance(item, Loss):
            yield item
        else:
            yield from (item[:, :, i : i + frames] for i in range(0, item.shape[2], frames))
