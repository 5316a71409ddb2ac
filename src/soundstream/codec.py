"""The codec: pcm to `.nac` bytes and back, joining audio, runtime, entropy coding and bitstream."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from soundstream import audio
from soundstream.bitstream import Header, Packet, Reader, Writer
from soundstream.config import CodecConfig
from soundstream.entropy import PlainCoder
from soundstream.errors import ConfigError, InvalidField, ModelMismatch
from soundstream.runtime.artifact import Artifact, load_artifact
from soundstream.runtime.stream import DecoderStream, EncoderStream, Model

Array = NDArray[np.float32]
Codes = NDArray[np.int64]

DEFAULT_BITRATE = 6000
PACKET_FRAMES = 150
"""Frames in a packet of a file: 2 s at 75 frames a second."""


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

    def encode(
        self,
        pcm: np.ndarray,
        sample_rate: int,
        bitrate: int = DEFAULT_BITRATE,
        tags: Mapping[str, str] | None = None,
    ) -> bytes:
        """Compress audio to the bytes of a `.nac` file.

        Args:
            pcm: `[channels, samples]` or `[samples]`, 1 to 8 channels; float in [-1, 1], int16 or int32.
            sample_rate: Hz, 8,000 to 192,000.
            bitrate: nominal bit/s of each channel, 750 to 18,000 in steps of 750 with the default model.
        Raises:
            AudioError: the audio has another form, or holds NaN or infinity.
            ConfigError: the bit rate is not supported.
        """
        pcm = audio.check(pcm, sample_rate)
        stream = io.BytesIO()
        header = self.header(sample_rate, len(pcm), bitrate, pcm.shape[1], tags)
        self.write(stream, header, _seconds(pcm, sample_rate))
        return stream.getvalue()

    def decode(self, data: bytes) -> tuple[Array, int]:
        """Audio `[channels, samples]` and its sample rate in Hz, with exactly the samples of the original.

        Raises:
            BitstreamError: the bytes are damaged, incomplete, foreign, or of another model.
        """
        reader = Reader(io.BytesIO(data))
        empty = np.zeros((reader.header.channels, 0), np.float32)
        return np.concatenate([empty, *self.read(reader)], axis=1), reader.header.sample_rate

    def to_codes(self, pcm: np.ndarray, sample_rate: int, bitrate: int = DEFAULT_BITRATE) -> Codes:
        """Codes `[num_quantizers, frames]` of one channel, `[channels, num_quantizers, frames]` of several.

        Raises:
            AudioError, ConfigError: as `encode`.
        """
        pcm = audio.check(pcm, sample_rate)
        num_quantizers = self.config.quantizers_for(bitrate)
        parts = [*self._codes(_seconds(pcm, sample_rate), sample_rate, len(pcm), num_quantizers)]
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

    def header(
        self,
        sample_rate: int,
        channels: int,
        bitrate: int = DEFAULT_BITRATE,
        num_samples: int | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Header:
        """The header of a file that this codec is to write.

        Args:
            num_samples: samples per channel, None if unknown as with a pipe.
        Raises:
            AudioError, ConfigError: the rate, the channels or the bit rate are not supported.
        """
        audio.check_format(sample_rate, channels)
        return Header(
            model_id=self.model_id,
            sample_rate=sample_rate,
            channels=channels,
            codec_sample_rate=self.config.sample_rate,
            hop_length=self.config.hop_length,
            codebook_bits=self.config.codebook_bits,
            num_quantizers=self.config.quantizers_for(bitrate),
            num_samples=num_samples,
            tags=tags or {},
        )

    def write(self, stream: BinaryIO, header: Header, blocks: Iterable[Array]) -> None:
        """Compress blocks of pcm `[channels, samples]` to a binary stream, in constant memory and without seeking."""
        writer, coder = Writer(stream, header), PlainCoder(header.codebook_bits)
        counter = _Counter(blocks)
        codes = self._codes(counter, header.sample_rate, header.channels, header.num_quantizers)
        for sequence, part in enumerate(_regroup(codes, PACKET_FRAMES)):
            writer.write(Packet(sequence % 65_536, part.shape[1], part.shape[2], coder.encode(part)))
        writer.finish(counter.samples)

    def read(self, reader: Reader) -> Iterator[Array]:
        """Decode packet after packet to blocks of pcm `[channels, samples]`, in constant memory.

        Raises:
            BitstreamError: as `decode`; what came before the damage was yielded.
        """
        header = reader.header
        self._check_model(header)
        rates = self.config.sample_rate, header.sample_rate
        resampler = audio.Resampler(*rates, header.channels)
        stream, coder = DecoderStream(self.model, header.channels), PlainCoder(header.codebook_bits)
        late = self.config.delay_samples
        tail = _Tail(header.channels, keep=2 * audio.resampled_length(self.config.hop_length, *rates))
        for packet in reader:
            codes = coder.decode(packet.payload, (header.channels, packet.num_quantizers, packet.frames))
            pcm = stream.push(codes)
            yield tail.push(resampler.push(pcm[:, late:]))
            late = max(0, late - pcm.shape[1])
        assert reader.num_samples is not None
        yield tail.finish(resampler.flush(), reader.num_samples)

    def _codes(self, blocks: Iterable[Array], sample_rate: int, channels: int, num_quantizers: int) -> Iterator[Codes]:
        resampler = audio.Resampler(sample_rate, self.config.sample_rate, channels)
        stream = EncoderStream(self.model, channels, num_quantizers)
        for block in blocks:
            yield stream.push(resampler.push(block))
        yield stream.push(resampler.flush())
        yield stream.flush()

    def _check_model(self, header: Header) -> None:
        if header.model_id != self.model_id:
            raise ModelMismatch(
                f"the file was made by model {header.model_id.hex()}, loaded is {self.model_id.hex()}; "
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


class _Counter:
    """Passes blocks on and counts their samples."""

    def __init__(self, blocks: Iterable[Array]) -> None:
        self.samples = 0
        self._blocks = blocks

    def __iter__(self) -> Iterator[Array]:
        for block in self._blocks:
            self.samples += block.shape[1]
            yield block


class _Tail:
    """Holds back the last samples until their exact number is known."""

    def __init__(self, channels: int, keep: int) -> None:
        self._given = 0
        self._held = np.zeros((channels, 0), np.float32)
        self._keep = keep

    def push(self, pcm: Array) -> Array:
        held = np.concatenate([self._held, pcm], axis=1)
        ready = max(0, held.shape[1] - self._keep)
        self._held = held[:, ready:]
        self._given += ready
        return held[:, :ready]

    def finish(self, pcm: Array, num_samples: int) -> Array:
        held = np.concatenate([self._held, pcm], axis=1)
        left = num_samples - self._given
        if left < 0:
            raise InvalidField(f"the file holds {-left} samples more than the {num_samples} that it counts")
        return held[:, :left]


def _regroup(parts: Iterable[Codes], frames: int) -> Iterator[Codes]:
    """The same codes in parts of `frames` frames, the last one shorter."""
    held: list[Codes] = []
    count = 0
    for part in parts:
        held.append(part)
        count += part.shape[2]
        while count >= frames:
            joined = np.concatenate(held, axis=2)
            yield joined[:, :, :frames]
            held, count = [joined[:, :, frames:]], count - frames
    if count:
        yield np.concatenate(held, axis=2)


def _seconds(pcm: Array, sample_rate: int) -> Iterator[Array]:
    for start in range(0, pcm.shape[1], sample_rate):
        yield pcm[:, start : start + sample_rate]


@lru_cache(maxsize=4)
def load(name_or_path: str | Path = "default", threads: int = 1) -> Codec:
    """Load a codec: one that ships with the package by name, or any artifact folder by path. Loaded once per process.

    Raises:
        ArtifactError: the model is missing or damaged.
    """
    return Codec(load_artifact(name_or_path), threads)


def encode(pcm: np.ndarray, sample_rate: int, bitrate: int = DEFAULT_BITRATE) -> bytes:
    """`Codec.encode` with the default model."""
    return load().encode(pcm, sample_rate, bitrate)


def decode(data: bytes) -> tuple[Array, int]:
    """`Codec.decode` with the default model."""
    return load().decode(data)


def to_codes(pcm: np.ndarray, sample_rate: int, bitrate: int = DEFAULT_BITRATE) -> Codes:
    """`Codec.to_codes` with the default model."""
    return load().to_codes(pcm, sample_rate, bitrate)


def from_codes(codes: np.ndarray) -> Array:
    """`Codec.from_codes` with the default model."""
    return load().from_codes(codes)
