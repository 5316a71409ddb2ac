"""The codec: pcm to `.nac` bytes and back, pcm to codes and back, and live sessions; and how one is loaded."""

from __future__ import annotations

import copyreg
import io
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import TypeVar, Unpack

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.audio.blocks import seconds
from soundstream.audio.checks import as_array, check, whole_rate
from soundstream.bitstream import Header, Reader, RepairingReader
from soundstream.codec.code_streams import CodeDecoder, CodeEncoder, check_codes
from soundstream.codec.headers import check_header
from soundstream.codec.packing import Coding
from soundstream.codec.reading import Damage, Reading
from soundstream.codec.writing import Writing
from soundstream.errors import ArtifactError, AudioError, ConfigError, ModelMismatch
from soundstream.live.decoder import LiveDecoder
from soundstream.live.encoder import LIVE_EFFORT, LiveEncoder
from soundstream.runtime.artifact import find, id_of, load_artifact, shipped
from soundstream.runtime.model import Artifact, Model
from soundstream.runtime.models import VARIABLE, find_by_id, model_folders
from soundstream.runtime.options import EncodeKeywords, EncodeOptions
from soundstream.runtime.released import describe
from soundstream.runtime.session import CPU, execution_provider
from soundstream.runtime.side import check_side, with_side, without_side
from soundstream.system.files import FilePath, named

R = TypeVar("R")
_LOCK = threading.Lock()


class Codec(Writing, Reading):
    """A loaded model. It keeps no state between calls and may serve many threads.

    Args:
        artifact: the verified model.
        threads: CPU threads of the networks.
        postfilter: what is decoded passes the pitch post-filter, which gives voices back some of their harmonics.
        provider: of ONNX Runtime, for the networks: `cpu`, or such as `cuda` where it is installed with one.
    """

    def __init__(self, artifact: Artifact, threads: int = 1, postfilter: bool = True, provider: str = CPU) -> None:
        self.spec = artifact.spec
        self.model_id = artifact.model_id
        self.folder = artifact.folder
        self.threads, self.postfilter, self.provider = threads, postfilter, provider
        self.model = Model(artifact, threads, postfilter, provider)
        self.coding = Coding(
            self.spec.codebook_bits,
            self.model.quantizer.codebooks,
            artifact.tables,
            self.spec.stack(self.spec.num_quantizers),
            self.spec.side_numbers,
        )

    def check_model(self, header: Header) -> None:
        """Refuse a file that this codec cannot decode.

        Raises:
            ModelMismatch: another model made it.
            InvalidField: it contradicts its model.
        """
        check_header(header, self.spec, self.model_id)

    def encode(
        self,
        pcm: np.ndarray,
        sample_rate: int,
        bitrate: int | None = None,
        **options: Unpack[EncodeKeywords],
    ) -> bytes:
        """Compress audio to the bytes of a `.nac` file.

        Args:
            pcm: `[channels, samples]` or `[samples]`, 1 to 8 channels; float in [-1, 1], int16 or int32.
            sample_rate: Hz, 8,000 to 192,000.
            bitrate: nominal bit/s of each channel, 750 to 18,000 in steps of 750 with the default model; None is
                6,000, or the highest below it that the model has.
            options: `vbr`, `max_bitrate`, `tags`, `entropy`, `denoise` and `effort`, as `EncodeOptions` has them.
        Raises:
            AudioError: the audio has another form, or holds NaN or infinity.
            ConfigError: an option is not supported.
        """
        pcm, sample_rate = checked(pcm, sample_rate), whole_rate(sample_rate)
        stream, wanted = io.BytesIO(), EncodeOptions(bitrate, **options)
        self.write(stream, seconds(pcm, sample_rate), sample_rate, len(pcm), wanted, pcm.shape[1])
        return stream.getvalue()

    def decode(self, data: bytes, damage: list[Damage] | None = None, denoise: float = 0.0) -> tuple[Array, int]:
        """Audio `[channels, samples]` and its sample rate in Hz, with exactly the samples of the original.

        It lies in [-1, 1]: what comes near full scale is limited softly (`soundstream.audio.soft_limit`).

        Args:
            damage: a list that takes what could not be decoded, which is then silence instead of an error.
            denoise: how much noise to remove, with a model whose decoder was trained for it: 0 none, 1 all that can be.
        Raises:
            BitstreamError: the bytes are damaged, incomplete, foreign, or of another model.
            ConfigError: the denoising is not supported.
        """
        check_bytes(data)
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
        bitrate: int | None = None,
        features: Array | None = None,
        **options: Unpack[EncodeKeywords],
    ) -> Codes:
        """Codes `[num_quantizers, frames]` of one channel, `[channels, num_quantizers, frames]` of several.

        Channels that a codec codes together count as one. A codec with numbers beside its codes has a row for each
        behind those of the codebooks, with the bits of a float32: `split_codes` parts them.

        Args:
            features: of a codec that takes some beside the sound (`spec.features`): `[spec.features.channels, frames]`,
                of several channels `[channels, spec.features.channels, frames]`, a frame for each of the codec's.
            options: `denoise` and `effort`, as `EncodeOptions` has them.
        Raises:
            AudioError, ConfigError: as `encode`; or features are missing, too much, or of another shape.
        """
        pcm, sample_rate, wanted = checked(pcm, sample_rate), whole_rate(sample_rate), EncodeOptions(bitrate, **options)
        wanted.check_stream(self.spec)
        blocks = seconds(pcm, sample_rate)
        codes = np.concatenate([*self._codes(blocks, sample_rate, len(pcm), wanted, features)], axis=2)
        return codes[0] if len(codes) == 1 else codes

    def split_codes(self, codes: np.ndarray) -> tuple[Codes, Array]:
        """Codes of the codebooks `[..., num_quantizers, frames]` and side numbers `[..., side_numbers, frames]`.

        A number is the same in all frames of its segment. `join_codes` is the inverse.

        Raises:
            ConfigError: the last rows hold no numbers.
        """
        return without_side(np.asarray(codes), self.spec.side_numbers)

    def join_codes(self, codes: np.ndarray, side: np.ndarray) -> Codes:
        """Codes and side numbers in one array, as `to_codes` gives them.

        Raises:
            ConfigError: a number is not finite.
        """
        check_side(side := np.asarray(side, np.float32))
        return with_side(np.asarray(codes), side)

    def from_codes(
        self,
        codes: np.ndarray,
        sample_rate: int | None = None,
        num_samples: int | None = None,
        channels: int | None = None,
    ) -> Array:
        """Audio `[channels, samples]` of codes.

        Args:
            codes: `[num_quantizers, frames]` or `[channels, num_quantizers, frames]`, as `to_codes` gives them.
            channels: of the audio, which the codes of channels that are coded together do not tell; None is all.
            sample_rate: Hz of the audio; None is the codec's own.
            num_samples: samples per channel at that rate, which the codes do not tell; None is all that their frames
                hold, at the codec's own rate `frames * hop_length - delay_samples`.
        Raises:
            AudioError: the sample rate is not supported.
            ConfigError: the shape or a value is out of range, or the frames hold fewer samples.
        """
        codes = self.check_codes(codes)
        decoder = self.open_code_decoder(sample_rate, channels or len(codes) * self.spec.channels)
        return np.concatenate([decoder.push(codes), decoder.flush(num_samples)], axis=1)

    def check_codes(self, codes: np.ndarray) -> Codes:
        """Codes `[channels, num_quantizers, frames]`, also from `[num_quantizers, frames]` of one channel.

        A frame may have fewer codebooks than others: -1 stands for the codes that it lacks.

        Raises:
            ConfigError: the shape or a value is out of range.
        """
        return check_codes(codes, self.spec)

    def encode_many(
        self,
        clips: Iterable[np.ndarray],
        sample_rate: int,
        bitrate: int | None = None,
        **options: Unpack[EncodeKeywords],
    ) -> list[bytes]:
        """The bytes of a `.nac` file for each clip, as `encode` gives them.

        Args:
            clips: arrays of any lengths, each `[channels, samples]` or `[samples]`; or one array
                `[batch, channels, samples]`, or `[batch, samples]` of clips of one channel.
            bitrate, options: as `encode`.
        Raises:
            AudioError, ConfigError: as `encode`, with the number of the clip.
        """
        return self._each(clips, lambda pcm: self.encode(pcm, sample_rate, bitrate, **options))

    def to_codes_many(
        self,
        clips: Iterable[np.ndarray],
        sample_rate: int,
        bitrate: int | None = None,
        **options: Unpack[EncodeKeywords],
    ) -> list[Codes]:
        """The codes of each clip, as `to_codes` gives them; `clips` as for `encode_many`.

        Raises:
            AudioError, ConfigError: as `encode`, with the number of the clip.
        """
        return self._each(clips, lambda pcm: self.to_codes(pcm, sample_rate, bitrate, **options))

    def _each(self, clips: Iterable[np.ndarray], work: Callable[[np.ndarray], R]) -> list[R]:
        if isinstance(clips, str | bytes | PathLike):
            raise AudioError(f"{clips!r} is no audio; encode_file takes a path")
        found = []
        for number, pcm in enumerate(clips):
            with named(f"clip {number}"):
                found.append(work(pcm))
        return found

    def open_code_encoder(
        self,
        sample_rate: int,
        channels: int = 1,
        bitrate: int | None = None,
        features: Array | None = None,
        **options: Unpack[EncodeKeywords],
    ) -> CodeEncoder:
        """A session that takes sound in chunks of any length and gives codes; features and options as `to_codes`."""
        return CodeEncoder(self.model, sample_rate, channels, EncodeOptions(bitrate, **options), features)

    def open_code_decoder(
        self, sample_rate: int | None = None, channels: int | None = None, *, denoise: float = 0.0
    ) -> CodeDecoder:
        """A session that takes codes in chunks and gives sound, by default at the codec's rate; see `CodeDecoder`.

        Args:
            channels: None is those of one stream: one, or as many as are coded together.
        """
        rate = self.spec.sample_rate if sample_rate is None else sample_rate
        return CodeDecoder(self.model, rate, channels or self.spec.channels, denoise)

    def open_encoder(
        self,
        sample_rate: int,
        channels: int = 1,
        bitrate: int | None = None,
        *,
        packet_frames: int = 1,
        redundancy: int = 0,
        **options: Unpack[EncodeKeywords],
    ) -> LiveEncoder:
        """A live session that takes sound in chunks of any length and gives packets; arguments as `LiveEncoder`.

        Args:
            options: `denoise` and `effort`, as `EncodeOptions` has them; the effort is 1 where nobody asks for more.
        """
        keywords: EncodeKeywords = {"effort": LIVE_EFFORT, **options}
        wanted = EncodeOptions(bitrate, **keywords)
        return LiveEncoder(
            self.model, sample_rate, channels, wanted, packet_frames=packet_frames, redundancy=redundancy
        )

    def open_decoder(self, sample_rate: int, channels: int = 1, *, denoise: float = 0.0) -> LiveDecoder:
        """A live session that takes packets, some of them lost, and gives sound; arguments as `LiveDecoder`."""
        return LiveDecoder(self.model, sample_rate, channels, denoise)


def checked(pcm: np.ndarray, sample_rate: int) -> Array:
    """`audio.check`, which also says what a caller may have meant.

    Raises:
        AudioError: as `audio.check`, or it is a path or a batch.
    """
    if isinstance(pcm, str | bytes | PathLike):
        raise AudioError(f"{pcm!r} is no audio but a path or bytes; encode_file takes a path")
    if (array := as_array(pcm)).ndim == 3:
        raise AudioError(
            f"audio has shape {list(array.shape)}; expected [channels, samples] or [samples]: "
            "encode_many and to_codes_many take a batch [batch, channels, samples]"
        )
    return check(array, sample_rate)


def check_bytes(data: object) -> None:
    """Refuse what is not the bytes of a file.

    Raises:
        ConfigError: it is a path, or something else.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ConfigError(f"decode takes the bytes of a .nac file, not {type(data).__name__}; decode_file takes a path")


def load(name_or_path: FilePath = "default", threads: int = 1, postfilter: bool = True, provider: str = CPU) -> Codec:
    """Load a codec: one that ships with the package by name, or any artifact folder by path.

    A model is loaded once per process and settings, in whatever way it is asked for; the last four stay.

    Args:
        threads: CPU threads of the networks.
        postfilter: what is decoded passes the pitch post-filter; False gives the network's own sound.
        provider: of ONNX Runtime, for the networks: `cpu`, or such as `cuda` where it is installed with one.
    Raises:
        ArtifactError: the model is missing or damaged.
        ConfigError: the provider is not there.
    """
    execution_provider(provider)
    folder = find(name_or_path).resolve()
    with _LOCK:
        return _load(folder, id_of(folder), threads, postfilter, provider)


@lru_cache(maxsize=4)
def _load(folder: Path, model_id: bytes, threads: int, postfilter: bool, provider: str) -> Codec:
    return Codec(load_artifact(folder), threads, postfilter, provider)


def load_for(model_id: bytes, threads: int = 1, postfilter: bool = True, provider: str = CPU) -> Codec:
    """Load the model that a file names: a shipped one, or one in a folder that SOUNDSTREAM_MODELS names.

    Args:
        threads, postfilter, provider: as `load`.
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
    return load(folder, threads, postfilter, provider)


def _reload(folder: Path, model_id: bytes, threads: int, postfilter: bool, provider: str) -> Codec:
    """The codec of this id, from its folder if it is still there, or from where files find their model."""
    try:
        if id_of(folder) == model_id:
            return load(folder, threads, postfilter, provider)
    except ArtifactError:
        pass
    return load_for(model_id, threads, postfilter, provider)


def _reduced(codec: Codec) -> tuple[Callable[..., Codec], tuple[Path, bytes, int, bool, str]]:
    return _reload, (codec.folder, codec.model_id, codec.threads, codec.postfilter, codec.provider)


copyreg.pickle(Codec, _reduced)
"""A codec is pickled and copied by the id of its model: another process loads it from the same place."""


def codec_for(
    reader: Reader | RepairingReader, model: FilePath | None = None, threads: int = 1, postfilter: bool = True
) -> Codec:
    """The codec of a file: the model that it names, unless another one is given.

    Raises:
        ModelMismatch: no known folder holds the model.
        ArtifactError: the model is missing or damaged.
    """
    with named(reader.name):
        if model is None:
            return load_for(reader.header.model_id, threads, postfilter)
        return load(model, threads, postfilter)
