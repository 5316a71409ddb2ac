"""Codes in files: `.npy` arrays that also say what gives the sound back, from audio or `.nac` and to either."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from soundstream import audio
from soundstream.arrays import Array, Codes
from soundstream.audio.blocks import left_out
from soundstream.bitstream import Header, Reader, Writer
from soundstream.bitstream.header import MAGIC
from soundstream.codec.code_streams import CodeDecoder, CodeEncoder
from soundstream.codec.codec import Codec, codec_for, load, load_for
from soundstream.codec.flat_codes import flatten_codes, unflatten_codes
from soundstream.codec.writing import in_packets, packet_frames
from soundstream.errors import AudioError, ConfigError, ModelMismatch
from soundstream.runtime.options import EncodeKeywords, EncodeOptions
from soundstream.runtime.released import describe
from soundstream.system.files import FilePath, atomic_output, check_not_input, named, open_input

NPY_MAGIC = b"\x93NUMPY"
_BLOCK_S = 10.0
_MAX_FACTS = 4096


@dataclass(frozen=True)
class CodedAudio:
    """Codes, and what they do not say themselves; it is None where nobody said it."""

    codes: Codes
    """`[streams, num_quantizers, frames]`, side numbers behind them."""
    sample_rate: int | None = None
    """Hz of the original."""
    num_samples: int | None = None
    """Samples of the original per channel, at that rate."""
    model_id: bytes | None = None
    lead_in: int = 0
    """Samples before those, which are decoded and left out."""
    channels: int | None = None
    """Of the original, where several are coded together."""


def save_codes(path: FilePath, coded: CodedAudio, force: bool = False, strides: Sequence[int] | None = None) -> None:
    """Write codes to a `.npy` file, which `numpy.load` reads; a line of JSON behind the array holds the rest.

    Args:
        strides: those of the codebooks, to write all codes of a stream in one row, as `flatten_codes` does.
    Raises:
        ConfigError: the strides are not those of the codes.
        OutputError: the file exists already or cannot be written.
    """
    codes = coded.codes if strides is None else flatten_codes(coded.codes, strides)
    facts = {
        "sample_rate": coded.sample_rate,
        "num_samples": coded.num_samples,
        "model_id": coded.model_id.hex() if coded.model_id else None,
        "lead_in": coded.lead_in,
        "channels": coded.channels,
    } | ({} if strides is None else {"strides": [*strides]})
    plain = not codes.size or 0 <= codes.min() <= codes.max() < 1 << 16
    with atomic_output(path, force) as file:
        np.save(file, codes.astype(np.uint16 if plain else np.int64))
        file.write(json.dumps(facts).encode() + b"\n")


def load_codes(path: FilePath) -> CodedAudio:
    """Read codes from a `.npy` file, of `save_codes` or with a plain array `[(channels,) num_quantizers, frames]`.

    Raises:
        AudioError: it cannot be read, or is no array of whole numbers.
    """
    with open_input(path):  # says why a file cannot be opened
        pass
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        end = array.offset + array.nbytes
    except (ValueError, EOFError, AttributeError) as error:
        raise AudioError(f"{path} holds no array of codes: {error}") from error
    if array.ndim not in (2, 3) or not np.issubdtype(array.dtype, np.integer):
        raise AudioError(f"{path} holds {array.dtype} {list(array.shape)}; expected codes [num_quantizers, frames]")
    codes, facts = np.array(array, np.int64), _facts_behind(path, end)
    if strides := facts.pop("strides", None):
        codes = unflatten_codes(codes, strides)
    return CodedAudio(codes[None] if codes.ndim == 2 else codes, **facts)


def _facts_behind(path: FilePath, end: int) -> dict[str, Any]:
    with open_input(path) as file:
        file.seek(end)
        text = file.read(_MAX_FACTS)
    try:
        facts = json.loads(text) if text else {}
        return {
            "sample_rate": _whole(facts.get("sample_rate")),
            "num_samples": _whole(facts.get("num_samples")),
            "model_id": bytes.fromhex(facts["model_id"]) if facts.get("model_id") else None,
            "lead_in": _whole(facts.get("lead_in")) or 0,
            "channels": _whole(facts.get("channels")),
            "strides": _strides(facts.get("strides")),
        }
    except (ValueError, TypeError, AttributeError):
        return {}  # bytes of somebody else


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _strides(value: object) -> list[int] | None:
    return value if isinstance(value, list) and all(type(one) is int and 1 <= one <= 64 for one in value) else None


def codes_to_file(
    source: FilePath,
    output: FilePath,
    bitrate: int | None = None,
    *,
    model: FilePath | None = None,
    force: bool = False,
    flat: bool = False,
    **options: Unpack[EncodeKeywords],
) -> CodedAudio:
    """Write the codes of an audio file, or those in a `.nac` file as they are, to a `.npy` file.

    Args:
        bitrate: of audio 6,000 by default; of a `.nac` file how much of it to take, all by default.
        options: as `Codec.to_codes`, of audio only.
        model: of audio; None is the default one. Of a `.nac` file it is the one that the file names.
        flat: write all codes of a stream in one row, as `flatten_codes` does.
    Raises:
        AudioError, BitstreamError, ConfigError, ArtifactError: as `encode_file` and `decode_file`, or packets of a
            variable rate have unlike numbers of codebooks; or there are numbers beside codes that are to be in one row.
        OutputError: the output exists already, is the source, or cannot be written.
    """
    check_not_input(output, source)
    if kind_of(source) == "nac":
        coded = codes_of_nac(source, bitrate, model)
    else:
        coded = _codes_of_audio(source, EncodeOptions(bitrate, **options), model or "default")
    save_codes(output, coded, force, _strides_of(coded, model) if flat else None)
    return coded


def _strides_of(coded: CodedAudio, model: FilePath | None) -> tuple[int, ...]:
    spec = _codec_of(coded, model).spec
    if spec.side_numbers:
        raise ConfigError("codes with numbers beside them do not go into one row; take them as an array of frames")
    return spec.strides[: coded.codes.shape[1]]


def codes_from_file(source: FilePath, output: FilePath, *, model: FilePath | None = None, force: bool = False) -> None:
    """Make audio, or a `.nac` file, of the codes in a `.npy` file.

    Args:
        output: ends in .nac, .wav, .flac, .ogg or .opus.
        model: None is the one that the file names, or else the default one.
    Raises:
        AudioError: the file holds no codes, or the output's format does not hold the audio.
        ConfigError: the model does not have these codes, or the file counts more samples than they hold.
        ModelMismatch: the file names another model, or one that is not there.
        OutputError: as `codes_to_file`.
    """
    check_not_input(output, source)
    write_coded(load_codes(source), source, output, model=model, force=force)


def write_coded(
    coded: CodedAudio, source: FilePath, output: FilePath, *, model: FilePath | None = None, force: bool = False
) -> None:
    """Make audio, or a `.nac` file, of codes that come from `source`.

    Args, Raises: as `codes_from_file`.
    """
    with named(str(source)):
        codec = _codec_of(coded, model)
        codes = codec.check_codes(coded.codes)
        rate = audio.whole_rate(coded.sample_rate or codec.spec.sample_rate)
        most = (codec.spec.decoded_samples(codes.shape[2]) - codec.spec.delay_samples) * rate // codec.spec.sample_rate
        samples = max(0, most - coded.lead_in) if coded.num_samples is None else coded.num_samples
        channels, count = coded.channels or len(codes) * codec.spec.channels, codes.shape[1] - codec.spec.side_numbers
        bitrate, has_gaps = codec.spec.bitrate(count), bool((codes < 0).any())
        header = codec.header(rate, channels, bitrate, samples, frame_counts=has_gaps)
        header = dataclasses.replace(header, lead_in=coded.lead_in)
        write = _write_nac if Path(output).suffix.lower() == ".nac" else _write_audio
        write(codec, codes, header, samples, output, force)


def _write_nac(codec: Codec, codes: Codes, header: Header, samples: int, output: FilePath, force: bool) -> None:
    parts = in_packets([codes], codec.spec, packet_frames(header))
    with atomic_output(output, force) as stream:
        writer = Writer(stream, header)
        for packet in codec.coding.pack(parts, header.entropy_mode, header.frame_counts):
            writer.write(packet)
        writer.finish(samples)


def _write_audio(codec: Codec, codes: Codes, header: Header, samples: int, output: FilePath, force: bool) -> None:
    rate, decoder = header.sample_rate, codec.open_code_decoder(header.sample_rate, header.channels)
    with audio.open_writer(output, rate, header.channels, force, num_samples=samples) as target:
        block_frames = codec.spec.frames_in(_BLOCK_S)
        for pcm in left_out(_sound(decoder, codes, header.lead_in + samples, block_frames), header.lead_in):
            target.write(pcm)


def _sound(decoder: CodeDecoder, codes: Codes, num_samples: int, block_frames: int) -> Iterator[Array]:
    for start in range(0, codes.shape[2], block_frames):
        yield decoder.push(codes[:, :, start : start + block_frames])
    yield decoder.flush(num_samples)


def _codec_of(coded: CodedAudio, model: FilePath | None) -> Codec:
    if model is None:
        return load_for(coded.model_id) if coded.model_id else load()
    codec = load(model)
    if coded.model_id not in (None, codec.model_id):
        raise ModelMismatch(f"the codes are of {describe(coded.model_id or b'')}, loaded is {codec.model_id.hex()}")
    return codec


def _codes_of_audio(source: FilePath, options: EncodeOptions, model: FilePath) -> CodedAudio:
    codec = load(model)
    with named(str(source)), audio.open_reader(source) as reader:
        encoder = CodeEncoder(codec.model, reader.sample_rate, reader.channels, options)
        parts = [*(encoder.push(block) for block in reader), encoder.flush()]
    codes = codec.check_codes(np.concatenate(parts, axis=-1))
    return CodedAudio(codes, encoder.sample_rate, encoder.num_samples, codec.model_id, channels=encoder.channels)


def codes_of_nac(source: FilePath, bitrate: int | None, model: FilePath | None) -> CodedAudio:
    """The codes in a `.nac` file as they are.

    Args, Raises: as `codes_to_file`.
    """
    with open_input(source) as stream:
        reader = Reader(stream)
        codec, header = codec_for(reader, model), reader.header
        with named(reader.name):
            codec.check_model(header)
            parts = list(codec.coding.unpack(reader, header))
            side = header.side_numbers
            counts = {part.shape[1] - side for part in parts} or {header.num_quantizers}
            count = max(counts) if bitrate is None else codec.spec.quantizers_for(bitrate)
            if count > min(counts):
                rates = " to ".join(f"{codec.spec.bitrate(c):,}" for c in (min(counts), max(counts)))
                raise ConfigError(
                    f"packets have {rates} bit/s; choose what all of them have: -b {codec.spec.bitrate(min(counts))}"
                )
        empty = np.zeros((header.streams, count + side, 0), np.int64)
        kept = (np.delete(part, np.s_[count : part.shape[1] - side], axis=1) for part in parts)
        codes = np.concatenate([empty, *kept], axis=2)
        facts = header.sample_rate, reader.num_samples, header.model_id, header.lead_in, header.channels
        return CodedAudio(codes, *facts)


def kind_of(source: FilePath) -> str:
    """`npy`, `nac` or, of anything else, `audio`.

    Raises:
        AudioError: the file cannot be read.
    """
    if source == "-":
        raise ConfigError("codes are made of files, not of pipes; give a name")
    with open_input(source) as stream:
        start = stream.read(len(NPY_MAGIC))
    if start.startswith(MAGIC):
        return "nac"
    return "npy" if start == NPY_MAGIC else "audio"
