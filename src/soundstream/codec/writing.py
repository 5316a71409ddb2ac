"""Audio to `.nac` files, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array, Codes
from soundstream.audio.blocks import Counter, regroup
from soundstream.audio.checks import check_format, whole_rate
from soundstream.audio.resample import Resampler
from soundstream.bitstream.container import Writer
from soundstream.bitstream.header import Header
from soundstream.codec.packing import Coding
from soundstream.codec.vbr import (
    Costs,
    allocate,
    min_quantizers,
    packet_counts,
    quality_for,
    residual_energy,
    spooled,
)
from soundstream.entropy.grid import Counts
from soundstream.runtime.importance import importance_of
from soundstream.runtime.model import Model
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.policies import Splitter
from soundstream.runtime.search.codes import CodeStream
from soundstream.runtime.side import without_side
from soundstream.runtime.stream import EncoderStream, LatentStream, listens, new_code_stream
from soundstream.spec import CodecSpec
from soundstream.system.files import keeping

T = TypeVar("T", bound=np.generic)
Plan = list[tuple[int, Counts | None]]
"""Codebooks of every packet and, where its frames have several numbers of them, of these."""

PACKET_S = 2.0
"""Sound in a packet of a file."""
LONG_PACKET_S = 3.0
"""The same where entropy coding leaves so little that the 12 bytes of a packet would be more than 2 % of it."""
_LOW_BITRATE = 3000
"""Plain bit/s of all channels up to which it does."""
_MAX_FRAMES = 255
"""Frames of a packet at most."""


class Written(NamedTuple):
    """How large a file became."""

    num_samples: int
    """Samples per channel."""
    bytes: int


class Writing:
    """The half of `Codec` that writes files, in constant memory and without seeking."""

    spec: CodecSpec
    model: Model
    model_id: bytes
    coding: Coding

    def header(
        self,
        sample_rate: int,
        channels: int,
        bitrate: int | None = None,
        num_samples: int | None = None,
        tags: Mapping[str, str] | None = None,
        entropy: str | None = None,
        frame_counts: bool = False,
    ) -> Header:
        """The header of a file that this codec is to write.

        Args:
            bitrate: as `encode`.
            num_samples: samples per channel, None if unknown as with a pipe.
            entropy: as `encode`.
            frame_counts: whether frames have several numbers of codebooks.
        Raises:
            AudioError, ConfigError: the rate, the channels, the bit rate or the entropy mode are not supported.
        """
        check_format(sample_rate, channels)
        sample_rate = whole_rate(sample_rate)
        num_quantizers = self.spec.quantizers_for(bitrate)
        return Header(
            model_id=self.model_id,
            sample_rate=sample_rate,
            channels=channels,
            codec_sample_rate=self.spec.sample_rate,
            hop_length=self.spec.hop_length,
            codebook_bits=max((bits for bits, _ in self.spec.stack(num_quantizers)), default=self.spec.codebook_bits),
            num_quantizers=num_quantizers,
            entropy_mode=self.coding.mode(entropy, num_quantizers),
            num_samples=num_samples,
            stack=self.spec.stack(num_quantizers),
            joint_channels=self.spec.joint_channels(channels),
            side_numbers=self.spec.side_numbers,
            frame_counts=frame_counts,
            tags=tags or {},
        )

    def write(
        self,
        stream: BinaryIO,
        blocks: Iterable[Array],
        sample_rate: int,
        channels: int,
        options: EncodeOptions,
        num_samples: int | None = None,
    ) -> Written:
        """Compress blocks of pcm `[channels, samples]` to a binary stream, in constant memory and without seeking.

        Args:
            num_samples: samples per channel, None if unknown as with a pipe.
        Raises:
            AudioError, ConfigError: the rate, the channels or an option is not supported.
        """
        options.check(self.spec)
        nominal, most = options.rates(self.spec)
        mode = options.entropy or self.coding.default_mode(self.spec.quantizers_for(nominal))
        counts = bool(self.spec.importance) and (options.vbr or options.quality is not None)
        header = self.header(sample_rate, channels, most, num_samples, options.tags, mode, counts)
        writer, counter = Writer(stream, header), Counter(blocks)
        if options.vbr:
            parts = self._varying(counter, header, options)
        else:
            codes = self._codes(counter, header.sample_rate, channels, options)
            parts = in_packets(codes, self.spec, packet_frames(header))
        for packet in self.coding.pack(parts, header.entropy_mode, header.frame_counts):
            writer.write(packet)
        writer.finish(counter.samples)
        return Written(counter.samples, writer.bytes)

    def _codes(
        self,
        blocks: Iterable[Array],
        sample_rate: int,
        channels: int,
        options: EncodeOptions,
        features: Array | None = None,
    ) -> Iterator[Codes]:
        """Codes of blocks as they come, at a constant rate or a quality."""
        stream = EncoderStream(self.model, channels, options, features=features)
        for block in self._resampled(blocks, sample_rate, channels):
            yield stream.push(block)
        yield stream.flush()

    def _latents(self, blocks: Iterable[Array], header: Header, denoise: float, with_sound: bool) -> Iterator[Array]:
        stream = LatentStream(self.model, header.channels, with_sound=with_sound)
        for block in self._resampled(blocks, header.sample_rate, header.channels):
            yield stream.push(block, denoise)
        yield stream.flush()

    def _resampled(self, blocks: Iterable[Array], sample_rate: int, channels: int) -> Iterator[Array]:
        """Blocks at the codec's rate."""
        resampler = Resampler(sample_rate, self.spec.sample_rate, channels)
        for block in blocks:
            yield resampler.push(block)
        yield resampler.flush()

    def _varying(self, blocks: Iterable[Array], header: Header, options: EncodeOptions) -> Iterator[Codes]:
        """Codes of every packet at a rate that varies, for the size of a constant rate's file.

        The whole signal's latents wait in a temporary file, 138 MB an hour and channel, and their sound where the
        search listens, before the first packet is given: what a codebook more is worth is found by a quick search
        of all, the codes then by a careful one.
        """
        constant = self.spec.quantizers_for(options.rates(self.spec)[0])
        frames = packet_frames(replace(header, num_quantizers=constant))
        listening = listens(self.spec, options)
        latents = in_packets(self._latents(blocks, header, options.denoise, listening), self.spec, frames)
        with keeping("latents of a variable rate"), TemporaryFile() as spool:
            streams = self.spec.streams(header.channels)
            coding = new_code_stream(self.model, streams)
            costs = [self._costs(spooled(part, spool), coding, header) for part in latents]
            spool.seek(0)
            plan = list(self._planned(costs, constant, header.num_quantizers))
            most = max((count for count, _ in plan), default=0)
            careful = new_code_stream(self.model, streams, options.effort, listening)
            coded = self._coded((np.load(spool) for _ in costs), plan, careful, most, options.effort)
            for codes, (count, _) in zip(in_packets(coded, self.spec, frames), plan, strict=True):
                yield np.delete(codes, np.s_[count:most], axis=1)

    def _coded(
        self, latents: Iterator[Array], plan: Plan, coding: CodeStream, most: int, effort: int
    ) -> Iterator[Codes]:
        """Codes of packets, in some codecs a few frames late; behind the codebooks of a packet -1 up to the most."""
        for part, (count, counts) in zip(latents, plan, strict=True):
            counts = np.full((len(part), part.shape[2]), count) if counts is None else counts
            yield coding.push(part, most, effort, counts)
        yield coding.flush(most)

    def _planned(self, costs: list[Costs], constant: int, most: int) -> Iterator[tuple[int, Counts | None]]:
        """Codebooks of every packet and, of a codec that tells their importance, of its frames."""
        if not self.spec.importance:
            yield from ((count, None) for count in allocate(costs, constant, min_quantizers(self.spec)))
            return
        quality = quality_for(costs, constant, self.spec, most)
        yield from ((most, packet_counts(packet, quality, self.spec, most)) for packet in costs)

    def _costs(self, latents: Array, coding: CodeStream, header: Header) -> Costs:
        codes, _ = without_side(coding.push(latents, header.num_quantizers), self.spec.side_numbers)
        coded = self.spec.latent_dim - (self.spec.levels.bands if self.spec.levels else 0)
        codebooks = [book[:, :coded] for book in self.model.quantizer.codebooks]
        found = residual_energy(latents[:, :coded], codes, codebooks)
        bits = self.coding.coder(header.entropy_mode).bits(codes)
        importance = importance_of(latents, self.spec) if self.spec.importance else None
        return Costs(found, bits, len(codes) * codes.shape[2], importance)


def in_packets(parts: Iterable[NDArray[T]], spec: CodecSpec, frames: int) -> Iterator[NDArray[T]]:
    """Codes or latents `[..., frames]` packet by packet: of so many frames, or of a segment that has side numbers."""
    if not spec.side_numbers:
        yield from regroup(parts, frames)
        return
    splitter = Splitter(spec)
    for part in parts:
        yield from splitter.push(part)
    yield from splitter.flush()


def packet_frames(header: Header) -> int:
    """Frames of the packets that a file with this header gets at a constant rate."""
    is_low = header.entropy_mode and header.streams * header.bitrate <= _LOW_BITRATE
    frames = min(_MAX_FRAMES, round((LONG_PACKET_S if is_low else PACKET_S) * header.frame_rate))
    return max(1, frames // header.granule) * header.granule
