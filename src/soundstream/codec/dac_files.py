"""Files of DAC's own program to sound, with a model that the user names.

Their chunks lie on frame grids of their own, since networks saw each without padding: their codes are not those of any
`.nac` file. So they are decoded, and whoever wants a `.nac` file encodes the sound anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from soundstream.analysis.loudness import Loudness
from soundstream.arrays import Array
from soundstream.audio.resample import Resampler, resampled_length
from soundstream.bitstream import dac
from soundstream.errors import InvalidField, ModelMismatch
from soundstream.runtime.model import Model
from soundstream.runtime.stream import DecoderStream
from soundstream.system.files import FilePath, keeping, named, open_input

SUFFIX = ".dac"
_SLACK = 2
"""Samples by which programs that change the sample rate may differ in a length."""
_BLOCK_S = 1


@dataclass(frozen=True)
class DacInfo:
    """What a `.dac` file says of itself; it names no model."""

    format: str
    sample_rate: int
    """Hz of the original."""
    channels: int
    num_samples: int
    """Per channel."""
    duration_s: float
    bitrate: int | None
    """Bit/s of the whole file, all channels together; None without sound."""
    bytes: int
    num_quantizers: int
    frames: int
    chunk_frames: int
    """Frames that are decoded by themselves."""
    loudness_lufs: float
    """Of the original."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def is_dac(source: FilePath) -> bool:
    """Whether a name is that of such a file."""
    return Path(source).suffix.lower() == SUFFIX


def read_dac(source: FilePath) -> dac.Dac:
    """The codes and facts of a file; nothing in it is executed.

    Raises:
        AudioError: it cannot be read.
        BitstreamError: it is no such file, is damaged, or holds something else.
    """
    with named(str(source)), open_input(source) as stream:
        return dac.parse(stream.read(dac.MAX_BYTES + 1))


def dac_info(source: FilePath) -> DacInfo:
    """What a file says of itself.

    Raises:
        AudioError, BitstreamError: as `read_dac`.
    """
    found, size = read_dac(source), Path(source).stat().st_size
    duration_s = found.num_samples / found.sample_rate
    channels, count, frames = found.codes.shape
    return DacInfo(
        format=f"DAC's own, version {dac.VERSION}",
        sample_rate=found.sample_rate,
        channels=channels,
        num_samples=found.num_samples,
        duration_s=round(duration_s, 3),
        bitrate=round(8 * size / duration_s) if duration_s else None,
        bytes=size,
        num_quantizers=count,
        frames=frames,
        chunk_frames=found.chunk_frames,
        loudness_lufs=round(found.input_db, 2),
    )


def dac_sound(found: dac.Dac, model: Model, sample_rate: int) -> Iterator[Array]:
    """Blocks of pcm `[channels, samples]` at a rate, as loud as the original was, in constant memory.

    The loudness of decoded sound is known at its end: until then it waits in a temporary file, 635 MB an hour and
    channel at 44.1 kHz. Each channel gets the loudness of the whole original by itself, as from the original program.

    Args:
        model: of DAC's weights, those that made the file; without the post-filter.
        sample_rate: Hz.
    Raises:
        ModelMismatch: the model cannot have made the file.
    """
    _check_codes(found, model)
    channels, own_rate = len(found.codes), model.spec.sample_rate
    samples = resampled_length(found.num_samples, found.sample_rate, sample_rate)
    with keeping("decoded sound"), TemporaryFile() as spool:
        gains = _spooled(_decoded(found, model), spool, Loudness(own_rate, channels), found.input_db)
        resampler = Resampler(own_rate, sample_rate, channels)
        for block in _read(spool, channels, _BLOCK_S * own_rate):
            pcm = resampler.push(block * gains[:, None])[:, :samples]
            samples -= pcm.shape[1]
            yield pcm
        last = resampler.flush()[:, :samples]
        yield np.pad(last, ((0, 0), (0, samples - last.shape[1])))


def _check_codes(found: dac.Dac, model: Model) -> None:
    """Refuse codes that the model does not have, or a length that is not that of its frames."""
    spec, (_, count, frames) = model.spec, found.codes.shape
    if count > spec.num_quantizers or spec.channels > 1 or spec.granule > 1 or not spec.context_frames:
        raise ModelMismatch(
            f"the file has {count} codebooks, the model {spec.num_quantizers}; give the model of the file"
        )
    if int(found.codes.max()) >= min(book.size for book in spec.codebooks[:count]):
        raise InvalidField(f"the file has the code {int(found.codes.max())}, which the model's codebooks do not")
    if found.padded:
        _check_length(found, model, frames * spec.hop_length, spec.hop_length)


def _check_length(found: dac.Dac, model: Model, decoded: int, step: int) -> None:
    """Refuse a model whose frames are not as long as those of the file's.

    Args:
        decoded: samples of all chunks at the model's rate.
        step: those of the last one, which the original need not fill.
    """
    original = found.num_samples * model.spec.sample_rate / found.sample_rate
    if not decoded - step - _SLACK < original < decoded + _SLACK:
        raise ModelMismatch(
            f"the file's codes make {decoded:,} samples with this model, and it says {round(original):,}; "
            "give the model of the file"
        )


def _decoded(found: dac.Dac, model: Model) -> Iterator[Array]:
    """Sound of the chunks, one after the other, at the model's rate."""
    if found.padded:
        stream = DecoderStream(model, len(found.codes))
        yield from map(stream.push, _pieces(found.codes, model.block_frames))
        yield stream.flush()
        return
    network, checked = model.unpadded_decoder, False
    for codes in _pieces(found.codes, found.chunk_frames):
        latents = np.ascontiguousarray(model.quantizer.decode(codes)[:, :, None])
        pcm = network.run(latents=latents)[:, 0, 0]
        if not checked:
            chunks = found.codes.shape[2] // found.chunk_frames
            _check_length(found, model, chunks * pcm.shape[1], pcm.shape[1])
            checked = True
        yield pcm


def _pieces(codes: NDArray[np.int64], frames: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, codes.shape[2], frames):
        yield codes[:, :, start : start + frames]


def _spooled(blocks: Iterator[Array], spool: BinaryIO, meter: Loudness, level: float) -> Array:
    """Write blocks to a file; what to multiply them by, a channel, so that they are as loud as they should."""
    for pcm in blocks:
        meter.push(pcm)
        spool.write(pcm.T.tobytes())
    spool.seek(0)
    return np.float32(10) ** ((level - meter.value()) / 20).astype(np.float32)


def _read(spool: BinaryIO, channels: int, samples: int) -> Iterator[Array]:
    """The blocks again, of so many samples each."""
    while data := spool.read(4 * channels * samples):
        yield np.frombuffer(data, np.float32).reshape(-1, channels).T
