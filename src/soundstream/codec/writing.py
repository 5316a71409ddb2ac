"""Audio to `.nac` files, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple

import numpy as np

from soundstream.audio.blocks import Counter, regroup
from soundstream.audio.resample import Resampler
from soundstream.bitstream.container import Writer
from soundstream.bitstream.header import Header
from soundstream.codec.packing import Coding
from soundstream.codec.vbr import Costs, allocate, residual_energy, spooled
from soundstream.errors import ConfigError
from soundstream.runtime.quantizer import DEFAULT_EFFORT, Array, Codes, check_effort
from soundstream.runtime.stream import LatentStream, Model
from soundstream.spec import CodecSpec

PACKET_FRAMES = 150
"""Frames in a packet of a file: 2 s at 75 frames a second."""
LONG_PACKET_FRAMES = 225
"""The same where entropy coding leaves so little that the 12 bytes of a packet would be more than 2 % of it: 3 s."""
_FEW_BITS = 40
"""Plain bits of such a frame at most: 3 kbit/s."""


class Written(NamedTuple):
    """How large a file became."""

    num_samples: int
    """Samples per channel."""
    bytes: int


class Writing:
    """The half of `Codec` that writes files, in constant memory and without seeking."""

    spec: CodecSpec
    model: Model
    coding: Coding

    def write(
        self,
        stream: BinaryIO,
        header: Header,
        blocks: Iterable[Array],
        denoise: float = 0.0,
        effort: int = DEFAULT_EFFORT,
    ) -> Written:
        """Compress blocks of pcm `[channels, samples]` to a binary stream, in constant memory and without seeking.

        Args:
            denoise, effort: as `encode`.
        """
        self.spec.check_denoise(denoise)
        check_effort(effort)
        writer, counter = Writer(stream, header), Counter(blocks)
        codes = self._codes(counter, header.sample_rate, header.channels, header.num_quantizers, denoise, effort)
        for packet in self.coding.pack(regroup(codes, packet_frames(header)), header.entropy_mode):
            writer.write(packet)
        writer.finish(counter.samples)
        return Written(counter.samples, writer.bytes)

    def write_vbr(
        self,
        stream: BinaryIO,
        header: Header,
        blocks: Iterable[Array],
        bitrate: int,
        denoise: float = 0.0,
        effort: int = DEFAULT_EFFORT,
    ) -> Written:
        """Compress at a rate that varies from packet to packet, to the size of a constant rate's file.

        The whole signal's latents wait in a temporary file, 138 MB an hour and channel, before the first packet is
        written: what a codebook more is worth is found by a quick search of all, the codes then by a careful one.

        Args:
            header: of the highest bit rate that a packet may have.
            bitrate: nominal bit/s of each channel of that constant rate; entropy coding makes both files smaller.
            denoise, effort: as `encode`.
        """
        check_effort(effort)
        constant, counter = self.spec.quantizers_for(bitrate), Counter(blocks)
        frames = packet_frames(replace(header, num_quantizers=constant))
        latents = regroup(self._latents(counter, header.sample_rate, header.channels, denoise), frames)
        writer = Writer(stream, header)
        with TemporaryFile() as spool:
            costs = [self._costs(spooled(part, spool), header) for part in latents]
            spool.seek(0)
            counts = allocate(costs, constant)
            chosen = (self.model.quantizer.encode(np.load(spool), count, effort) for count in counts)
            for packet in self.coding.pack(chosen, header.entropy_mode):
                writer.write(packet)
        writer.finish(counter.samples)
        return Written(counter.samples, writer.bytes)

    def rates(self, bitrate: int | None, vbr: bool, max_bitrate: int | None = None) -> tuple[int, int]:
        """Nominal bit/s of a file, and the highest of a packet, from what a person asks for.

        Raises:
            ConfigError: the model does not have one of them, or a constant rate is to have a highest one.
        """
        bitrate = self.spec.bitrate(self.spec.quantizers_for(bitrate))
        if not vbr and max_bitrate is not None:
            raise ConfigError("the highest bit rate of a packet (--max-bitrate) goes with a variable rate (--vbr)")
        if not vbr:
            return bitrate, bitrate
        most = self.spec.bitrate(self.spec.num_quantizers) if max_bitrate is None else max_bitrate
        self.spec.quantizers_for(most)
        return min(bitrate, most), most

    def _costs(self, latents: Array, header: Header) -> Costs:
        codes = self.model.quantizer.encode(latents, header.num_quantizers)
        found = residual_energy(latents, codes, self.model.quantizer.codebooks)
        bits = self.coding.coder(header.entropy_mode).bits(codes)
        return Costs(found, bits, len(codes) * codes.shape[2])

    def _codes(
        self, blocks: Iterable[Array], sample_rate: int, channels: int, num_quantizers: int, denoise: float, effort: int
    ) -> Iterator[Codes]:
        for latents in self._latents(blocks, sample_rate, channels, denoise):
            yield self.model.quantizer.encode(latents, num_quantizers, effort)

    def _latents(self, blocks: Iterable[Array], sample_rate: int, channels: int, denoise: float) -> Iterator[Array]:
        resampler = Resampler(sample_rate, self.spec.sample_rate, channels)
        stream = LatentStream(self.model, channels)
        for block in blocks:
            yield stream.push(resampler.push(block), denoise)
        yield stream.push(resampler.flush(), denoise)
        yield stream.flush()


def packet_frames(header: Header) -> int:
    """Frames of the packets that a file with this header gets at a constant rate."""
    plain_bits = header.channels * header.num_quantizers * header.codebook_bits
    return LONG_PACKET_FRAMES if header.entropy_mode and plain_bits <= _FEW_BITS else PACKET_FRAMES
