"""The codec: pcm to `.nac` bytes and back, joining audio, runtime, entropy coding and bitstream."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundstream import audio
from soundstream.bitstream import Header, Loss, Reader, RepairingReader, Writer
from soundstream.blocks import Counter, Tail, regroup, seconds
from soundstream.coding import Coding
from soundstream.config import CodecConfig
from soundstream.errors import ConfigError, InvalidField, ModelMismatch
from soundstream.live import LIVE_EFFORT, LiveDecoder, LiveEncoder
from soundstream.runtime.artifact import Artifact, load_artifact, shipped
from soundstream.runtime.models import VARIABLE, describe, find_by_id, model_folders
from soundstream.runtime.quantizer import DEFAULT_EFFORT, check_effort
from soundstream.runtime.stream import DecoderStream, LatentStream, Model
from soundstream.vbr import Costs, allocate, residual_energy, spooled

Array = NDArray[np.float32]
Codes = NDArray[np.int64]

DEFAULT_BITRATE = 6000
PACKET_FRAMES = 150
"""Frames in a packet of a file: 2 s at 75 frames a second."""
LONG_PACKET_FRAMES = 225
"""The same where entropy coding leaves so little that the 12 bytes of a packet would be more than 2 % of it: 3 s."""
_FEW_BITS = 40
"""Plain bits of such a frame at most: 3 kbit/s."""
WARM_UP_FRAMES = 128
"""Frames decoded before the place that a reader seeks: more than what our decoders remember."""


class Damage(NamedTuple):
    """A part of a file that could not be decoded."""

    start_s: float
    duration_s: float
    packets: int
    reason: str


class Codec:
    """A loaded model. It keeps no state between calls and may serve many threads.

    Args:
        artifact: the verified model.
        threads: CPU threads of the networks.
    """

    def __init__(self, artifact: Artifact, threads: int = 1) -> None:
        self.config: CodecConfig = artifact.config
        self.model_id = artifact.model_id
        self.model = Model(artifact, threads)
        self.coding = Coding(self.config.codebook_bits, artifact.codebooks, artifact.tables)

    def encode(
        self,
        pcm: np.ndarray,
        sample_rate: int,
        bitrate: int = DEFAULT_BITRATE,
        tags: Mapping[str, str] | None = None,
        entropy: str | None = None,
        denoise: float = 0.0,
        effort: int = DEFAULT_EFFORT,
    ) -> bytes:
        """Compress audio to the bytes of a `.nac` file.

        Args:
            pcm: `[channels, samples]` or `[samples]`, 1 to 8 channels; float in [-1, 1], int16 or int32.
            sample_rate: Hz, 8,000 to 192,000.
            bitrate: nominal bit/s of each channel, 750 to 18,000 in steps of 750 with the default model.
            tags: text to keep in the file, by name.
            entropy: `none`, `fast` (fixed tables) or `best` (context model); None is `best` up to 8 codebooks, `fast`
                above, where the context model decodes slowly, and `none` for a model without tables.
            denoise: how much noise to remove from speech: 0 none, 1 all that can be; models trained for it have it.
            effort: paths that the search for codes keeps, 1 to 64: more take longer and sound a little better.
        Raises:
            AudioError: the audio has another form, or holds NaN or infinity.
            ConfigError: the bit rate, the entropy mode, the denoising or the effort is not supported.
        """
        pcm = audio.check(pcm, sample_rate)
        stream = io.BytesIO()
        header = self.header(sample_rate, len(pcm), bitrate, pcm.shape[1], tags, entropy)
        self.write(stream, header, seconds(pcm, sample_rate), denoise, effort)
        return stream.getvalue()

    def decode(self, data: bytes, damage: list[Damage] | None = None, denoise: float = 0.0) -> tuple[Array, int]:
        """Audio `[channels, samples]` and its sample rate in Hz, with exactly the samples of the original.

        Args:
            damage: a list that takes what could not be decoded, which is then silence instead of an error.
            denoise: how much noise to remove, with a model whose decoder was trained for it: 0 none, 1 all that can be.
        Raises:
            BitstreamError: the bytes are damaged, incomplete, foreign, or of another model.
            ConfigError: the denoising is not supported.
        """
        if damage is None:
            return self._whole(reader := Reader(io.BytesIO(data)), self.read(reader, denoise=denoise))
        return self._whole(repairing := RepairingReader(io.BytesIO(data)), self.repair(repairing, damage, denoise))

    def _whole(self, reader: Reader | RepairingReader, blocks: Iterable[Array]) -> tuple[Array, int]:
        empty = np.zeros((reader.header.channels, 0), np.float32)
        return np.concatenate([empty, *blocks], axis=1), reader.header.sample_rate

    def to_codes(
        self,
        pcm: np.ndarray,
        sample_rate: int,
        bitrate: int = DEFAULT_BITRATE,
        denoise: float = 0.0,
        effort: int = DEFAULT_EFFORT,
    ) -> Codes:
        """Codes `[num_quantizers, frames]` of one channel, `[channels, num_quantizers, frames]` of several.

        Raises:
            AudioError, ConfigError: as `encode`.
        """
        pcm = audio.check(pcm, sample_rate)
        num_quantizers = self.config.quantizers_for(bitrate)
        parts = [*self._codes(seconds(pcm, sample_rate), sample_rate, len(pcm), num_quantizers, denoise, effort)]
        codes = np.concatenate([np.zeros((len(pcm), num_quantizers, 0), np.int64), *parts], axis=2)
        return codes[0] if len(codes) == 1 else codes

    def from_codes(self, codes: np.ndarray) -> Array:
        """Audio `[channels, frames * hop_length - delay_samples]` at the codec's own sample rate.

        Args:
            codes: `[num_quantizers, frames]` or `[channels, num_quantizers, frames]`.
        Raises:
            ConfigError: the shape or a value is out of range.
        """
        codes = np.asarray(codes)
        codes = codes[None] if codes.ndim == 2 else codes
        self._check_codes(codes)
        return DecoderStream(self.model, len(codes)).push(codes)[:, self.config.delay_samples :]

    def open_encoder(
        self,
        sample_rate: int,
        channels: int = 1,
        bitrate: int = DEFAULT_BITRATE,
        *,
        denoise: float = 0.0,
        packet_frames: int = 1,
        redundancy: int = 0,
        effort: int = LIVE_EFFORT,
    ) -> LiveEncoder:
        """A live session that takes sound in chunks of any length and gives packets; arguments as `LiveEncoder`."""
        return LiveEncoder(
            self.model,
            sample_rate,
            channels,
            bitrate,
            denoise=denoise,
            packet_frames=packet_frames,
            redundancy=redundancy,
            effort=effort,
        )

    def open_decoder(self, sample_rate: int, channels: int = 1, *, denoise: float = 0.0) -> LiveDecoder:
        """A live session that takes packets, some of them lost, and gives sound; arguments as `LiveDecoder`."""
        return LiveDecoder(self.model, sample_rate, channels, denoise)

    def header(
        self,
        sample_rate: int,
        channels: int,
        bitrate: int = DEFAULT_BITRATE,
        num_samples: int | None = None,
        tags: Mapping[str, str] | None = None,
        entropy: str | None = None,
    ) -> Header:
        """The header of a file that this codec is to write.

        Args:
            num_samples: samples per channel, None if unknown as with a pipe.
            entropy: as `encode`.
        Raises:
            AudioError, ConfigError: the rate, the channels, the bit rate or the entropy mode are not supported.
        """
        audio.check_format(sample_rate, channels)
        num_quantizers = self.config.quantizers_for(bitrate)
        return Header(
            model_id=self.model_id,
            sample_rate=sample_rate,
            channels=channels,
            codec_sample_rate=self.config.sample_rate,
            hop_length=self.config.hop_length,
            codebook_bits=self.config.codebook_bits,
            num_quantizers=num_quantizers,
            entropy_mode=self.coding.mode(entropy, num_quantizers),
            num_samples=num_samples,
            tags=tags or {},
        )

    def write(
        self,
        stream: BinaryIO,
        header: Header,
        blocks: Iterable[Array],
        denoise: float = 0.0,
        effort: int = DEFAULT_EFFORT,
    ) -> None:
        """Compress blocks of pcm `[channels, samples]` to a binary stream, in constant memory and without seeking.

        Args:
            denoise, effort: as `encode`.
        """
        self.config.check_denoise(denoise)
        check_effort(effort)
        writer, counter = Writer(stream, header), Counter(blocks)
        codes = self._codes(counter, header.sample_rate, header.channels, header.num_quantizers, denoise, effort)
        for packet in self.coding.pack(regroup(codes, packet_frames(header)), header.entropy_mode):
            writer.write(packet)
        writer.finish(counter.samples)

    def write_vbr(
        self,
        stream: BinaryIO,
        header: Header,
        blocks: Iterable[Array],
        bitrate: int,
        denoise: float = 0.0,
        effort: int = DEFAULT_EFFORT,
    ) -> None:
        """Compress at a rate that varies from packet to packet, to the size of a constant rate's file.

        The whole signal's latents wait in a temporary file, 138 MB an hour and channel, before the first packet is
        written: what a codebook more is worth is found by a quick search of all, the codes then by a careful one.

        Args:
            header: of the highest bit rate that a packet may have.
            bitrate: nominal bit/s of each channel of that constant rate; entropy coding makes both files smaller.
            denoise, effort: as `encode`.
        """
        check_effort(effort)
        constant, counter = self.config.quantizers_for(bitrate), Counter(blocks)
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

    def _costs(self, latents: Array, header: Header) -> Costs:
        codes = self.model.quantizer.encode(latents, header.num_quantizers)
        found = residual_energy(latents, codes, self.model.quantizer.codebooks)
        bits = self.coding.coder(header.entropy_mode).bits(codes)
        return Costs(found, bits, len(codes) * codes.shape[2])

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

    def _codes(
        self, blocks: Iterable[Array], sample_rate: int, channels: int, num_quantizers: int, denoise: float, effort: int
    ) -> Iterator[Codes]:
        for latents in self._latents(blocks, sample_rate, channels, denoise):
            yield self.model.quantizer.encode(latents, num_quantizers, effort)

    def _latents(self, blocks: Iterable[Array], sample_rate: int, channels: int, denoise: float) -> Iterator[Array]:
        resampler = audio.Resampler(sample_rate, self.config.sample_rate, channels)
        stream = LatentStream(self.model, channels)
        for block in blocks:
            yield stream.push(resampler.push(block), denoise)
        yield stream.push(resampler.flush(), denoise)
        yield stream.flush()

    def check_model(self, header: Header) -> None:
        """Refuse a file that this codec cannot decode.

        Raises:
            ModelMismatch: another model made it.
            InvalidField: it contradicts its model.
        """
        if header.model_id != self.model_id:
            raise ModelMismatch(
                f"the file was made by {describe(header.model_id)}, loaded is {self.model_id.hex()}; "
                "give the file's own model with --model"
            )
        expected = self.header(header.sample_rate, header.channels, self.config.bitrate(1))
        for name in ("codec_sample_rate", "hop_length", "codebook_bits"):
            if getattr(header, name) != getattr(expected, name):
                raise InvalidField(f"{name} is {getattr(header, name)}; this model has {getattr(expected, name)}")
        if header.num_quantizers > self.config.num_quantizers:
            raise InvalidField(
                f"the file uses {header.num_quantizers} codebooks; this model has {self.config.num_quantizers}"
            )

    def _check_codes(self, codes: np.ndarray) -> None:
        if (
            codes.ndim != 3
            or not np.issubdtype(codes.dtype, np.integer)
            or not 1 <= codes.shape[1] <= self.config.num_quantizers
        ):
            raise ConfigError(
                f"codes are {codes.dtype} {list(codes.shape)}; expected whole numbers [num_quantizers, frames] "
                f"with 1 to {self.config.num_quantizers} quantizers, or the same for each of several channels"
            )
        if codes.size and not 0 <= codes.min() <= codes.max() < self.config.codebook_size:
            raise ConfigError(
                f"codes lie from {codes.min()} to {codes.max()}; expected 0 to {self.config.codebook_size - 1}"
            )


def packet_frames(header: Header) -> int:
    """Frames of the packets that a file with this header gets at a constant rate."""
    plain_bits = header.channels * header.num_quantizers * header.codebook_bits
    return LONG_PACKET_FRAMES if header.entropy_mode and plain_bits <= _FEW_BITS else PACKET_FRAMES


@lru_cache(maxsize=4)
def load(name_or_path: str | Path = "default", threads: int = 1) -> Codec:
    """Load a codec: one that ships with the package by name, or any artifact folder by path. Loaded once per process.

    Raises:
        ArtifactError: the model is missing or damaged.
    """
    return Codec(load_artifact(name_or_path), threads)


def load_for(model_id: bytes, threads: int = 1) -> Codec:
    """Load the model that a file names: a shipped one, or one in a folder that SOUNDSTREAM_MODELS names.

    Raises:
        ModelMismatch: no known folder holds it.
        ArtifactError: the model is damaged.
    """
    folder = find_by_id(model_id, model_folders())
    if folder is None:
        raise ModelMismatch(
            f"the file was made by {describe(model_id)}, which is not among the shipped ones "
            f"({', '.join(shipped())}); give its folder with --model or in {VARIABLE}"
        )
    return load(folder, threads)


def encode(
    pcm: np.ndarray,
    sample_rate: int,
    bitrate: int = DEFAULT_BITRATE,
    denoise: float = 0.0,
    effort: int = DEFAULT_EFFORT,
) -> bytes:
    """`Codec.encode` with the default model."""
    return load().encode(pcm, sample_rate, bitrate, denoise=denoise, effort=effort)


def decode(data: bytes, denoise: float = 0.0) -> tuple[Array, int]:
    """`Codec.decode` with the model that the file names."""
    return load_for(Reader(io.BytesIO(data)).header.model_id).decode(data, denoise=denoise)


def to_codes(pcm: np.ndarray, sample_rate: int, bitrate: int = DEFAULT_BITRATE, effort: int = DEFAULT_EFFORT) -> Codes:
    """`Codec.to_codes` with the default model."""
    return load().to_codes(pcm, sample_rate, bitrate, effort=effort)


def from_codes(codes: np.ndarray) -> Array:
    """`Codec.from_codes` with the default model."""
    return load().from_codes(codes)


def open_encoder(
    sample_rate: int,
    channels: int = 1,
    bitrate: int = DEFAULT_BITRATE,
    *,
    denoise: float = 0.0,
    packet_frames: int = 1,
    redundancy: int = 0,
    effort: int = LIVE_EFFORT,
) -> LiveEncoder:
    """`Codec.open_encoder` with the default model."""
    return load().open_encoder(
        sample_rate,
        channels,
        bitrate,
        denoise=denoise,
        packet_frames=packet_frames,
        redundancy=redundancy,
        effort=effort,
    )


def open_decoder(sample_rate: int, channels: int = 1) -> LiveDecoder:
    """`Codec.open_decoder` with the default model."""
    return load().open_decoder(sample_rate, channels)
