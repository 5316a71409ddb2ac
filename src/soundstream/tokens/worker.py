"""Makes one shard: what every engine calls, in any process on any machine. The same job gives the same bytes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.codec.code_streams import CodeEncoder
from soundstream.codec.codec import Codec, load
from soundstream.errors import ArtifactError, AudioWarning, CodecError
from soundstream.system.files import named
from soundstream.tokens.layout import Header, ShardJob, failed_name, failures_to_json, rows_name, shard_name
from soundstream.tokens.pieces import Pieces
from soundstream.tokens.shards import ShardWriter
from soundstream.tokens.sources import Failure, Source, printable
from soundstream.tokens.storage import Storage, storage


@dataclass(frozen=True)
class Report:
    """What became of a shard."""

    number: int
    bytes: int
    """Of its sources, as the plan counts them."""
    sounds: int
    duration_s: float
    failed: tuple[Failure, ...]


@dataclass(frozen=True)
class Sound:
    """Codes of a source, and what its JSON says."""

    codes: Codes
    """`[streams, num_quantizers, frames]`."""
    side: Array
    """`[streams, side_numbers, frames]`."""
    facts: dict[str, Any]


@dataclass(frozen=True)
class Worker:
    """Makes shards; called with a job. It can be pickled, and a process loads the model once, for all its jobs.

    Args:
        model: a shipped model's name, or a folder that all machines have under this path.
        header: of the folder.
        out: the folder, or its URL.
    """

    model: str
    header: Header
    out: str

    def __call__(self, job: ShardJob) -> Report:
        """Make a shard, its part of the index and the list of what it lacks.

        Raises:
            ArtifactError, ConfigError: the model is missing, damaged or another one.
            OutputError: the disk is full.
        """
        codec, place = self._codec(), storage(self.out)
        failed: list[Failure] = []
        duration_s = 0.0
        with place.write(shard_name(job.number)) as stream, Pieces() as pieces:
            writer = ShardWriter(stream, self.header, job.number)
            for i, source in enumerate(job.sources):
                sound = self._attempt(codec, pieces, source)
                if isinstance(sound, Failure):
                    failed.append(sound)
                    continue
                writer.add(job.first + i, sound.codes, sound.side, sound.facts)
                duration_s += sound.facts["seconds"]
            _write_beside(place, job.number, writer.close(), failed)
        return Report(job.number, job.bytes, len(job.sources) - len(failed), duration_s, tuple(failed))

    def _codec(self) -> Codec:
        codec, wanted = load(self.model, provider=self.header.settings.provider), self.header.settings.model
        if codec.model_id.hex() != wanted:
            raise ArtifactError(f"model {self.model} is {codec.model_id.hex()} here; the tokens are to be of {wanted}")
        return codec

    def _attempt(self, codec: Codec, pieces: Pieces, source: Source) -> Sound | Failure:
        """The sound, or why there is none."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", AudioWarning)
            try:
                with named(source.path):
                    sound = self._sound(codec, pieces, source)
            except (CodecError, OSError) as error:
                pieces.close()
                reason = str(error).removeprefix(f"{source.path}: ")
                return Failure(printable(source.path), printable(reason), source.start_s)
        sound.facts["warnings"] = printable("; ".join(str(warning.message) for warning in told))
        return sound

    def _sound(self, codec: Codec, pieces: Pieces, source: Source) -> Sound:
        reader, how = pieces.open(source), self.header.settings
        encoder = codec.open_code_encoder(
            reader.sample_rate, reader.channels, how.bitrate, denoise=how.denoise, effort=how.effort
        )
        parts = [*self._parts(codec, encoder, pieces.read(source))]
        codes, side = (np.concatenate(arrays, axis=2) for arrays in zip(*parts, strict=True))
        seconds = encoder.num_samples / reader.sample_rate
        facts = {
            "source": printable(source.path),
            "start": source.start_s,
            "end": source.start_s + seconds,
            "seconds": seconds,
            "sample_rate": reader.sample_rate,
            "num_samples": encoder.num_samples,
            "channels": reader.channels,
            "model": how.model,
            "tags": json.dumps(pieces.tags | source.tags),
        }
        return Sound(codes, side, facts)

    def _parts(self, codec: Codec, encoder: CodeEncoder, blocks: Iterator[Array]) -> Iterator[tuple[Codes, Array]]:
        """Codes, as small as they are written, and side numbers, block by block."""
        for codes in _coded(encoder, blocks):
            codes, side = codec.split_codes(codes if codes.ndim == 3 else codes[None])
            yield codes.astype(self.header.dtype), side


def _write_beside(place: Storage, number: int, rows: np.ndarray, failed: list[Failure]) -> None:
    """What goes with a shard; it is there before the shard has its name."""
    with place.write(rows_name(number)) as file:
        np.save(file, rows)
    if failed:
        with place.write(failed_name(number)) as file:
            file.write(failures_to_json(failed))
    else:
        place.remove(failed_name(number))


def _coded(encoder: CodeEncoder, blocks: Iterator[Array]) -> Iterator[Codes]:
    for block in blocks:
        yield encoder.push(block)
    yield encoder.flush()
