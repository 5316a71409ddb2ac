"""What lies in a folder of tokens: names of files, settings, plan, rows of the index; docs/tokens.md specifies it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from soundstream.errors import ConfigError
from soundstream.spec import CodecSpec
from soundstream.tokens.sources import Failure, Source

FORMAT = 1
SETTINGS, PLAN, INDEX, FAILED = "tokens.json", "sources.jsonl", "index.npy", "failed.jsonl"
OURS = re.compile(r"tokens\.json|sources\.jsonl|index\.npy|failed\.jsonl|\d{5,}\.(tar|npy|failed\.jsonl)")
"""Names of all files that a run writes."""

ROW = np.dtype(
    [
        ("sound", "<u8"),
        ("shard", "<u4"),
        ("stream", "<u2"),
        ("streams", "<u2"),
        ("frames", "<u8"),
        ("num_samples", "<u8"),
        ("sample_rate", "<u4"),
        ("facts_bytes", "<u4"),
        ("codes", "<u8"),
        ("side", "<u8"),
        ("facts", "<u8"),
    ]
)
"""A row of the index, one for each stream of a sound; the last three are places in the shard, in bytes."""


@dataclass(frozen=True)
class Settings:
    """How tokens are made; tokens of other settings do not lie in one folder."""

    model: str
    """Id in hexadecimal."""
    num_quantizers: int
    bitrate: int
    """Nominal bit/s of a stream."""
    denoise: float
    effort: int
    provider: str
    """Of ONNX Runtime: another one may round otherwise, and so find other codes."""
    shard_mb: float | None
    """Megabytes of sources that fill a shard, where somebody said it."""


@dataclass(frozen=True)
class Header:
    """`tokens.json`: what all tokens of a folder have in common."""

    settings: Settings
    spec: CodecSpec
    model_name: str | None
    sources: int
    shards: int

    @property
    def dtype(self) -> np.dtype:
        """Of codes, which may be -1: int16, or int32 for codebooks of more entries than that holds."""
        sizes = [book.size for book in self.spec.codebooks[: self.settings.num_quantizers]]
        return np.dtype("<i2" if max(sizes) <= 1 << 15 else "<i4")

    def to_json(self) -> bytes:
        """As it is written."""
        told = {
            "format": FORMAT,
            "sources": self.sources,
            "shards": self.shards,
            **asdict(self.settings),
            "model_name": self.model_name,
            "dtype": self.dtype.name,
            "spec": self.spec.to_dict(),
        }
        return json.dumps(told, indent=1).encode() + b"\n"

    @staticmethod
    def from_json(data: bytes) -> Header:
        """Inverse of `to_json`.

        Raises:
            ConfigError: it is none, or of a later format.
        """
        try:
            told: dict[str, Any] = json.loads(data)
            if told["format"] != FORMAT:
                raise ConfigError(f"tokens have format {told['format']}; this release reads {FORMAT}")
            settings = Settings(**{name: told[name] for name in Settings.__dataclass_fields__})
            spec = CodecSpec.from_dict(told["spec"])
            return Header(settings, spec, told["model_name"], told["sources"], told["shards"])
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{SETTINGS} is damaged: {error!r}; make the tokens anew") from error


@dataclass(frozen=True)
class ShardJob:
    """A shard that is to be made."""

    number: int
    first: int
    """Number of its first source in the plan."""
    sources: tuple[Source, ...]

    @property
    def bytes(self) -> int:
        """Of its sources."""
        return sum(source.bytes or 0 for source in self.sources)


def shard_name(number: int) -> str:
    """Name of a shard: a tar."""
    return f"{number:05}.tar"


def rows_name(number: int) -> str:
    """Name of a shard's part of the index."""
    return f"{number:05}.npy"


def failed_name(number: int) -> str:
    """Name of the list of what a shard lacks; there is none where nothing is missing."""
    return f"{number:05}.{FAILED}"


def plan_to_json(jobs: Iterable[ShardJob]) -> bytes:
    """`sources.jsonl`: a line for each source, with the number of its shard."""
    return _lines({"shard": job.number, **asdict(source)} for job in jobs for source in job.sources)


def plan_from_json(data: bytes) -> list[ShardJob]:
    """Inverse of `plan_to_json`."""
    shards: dict[int, list[Source]] = {}
    for line in data.splitlines():
        told = json.loads(line)
        shards.setdefault(told.pop("shard"), []).append(Source(**told))
    jobs, first = [], 0
    for number, sources in shards.items():
        jobs.append(ShardJob(number, first, tuple(sources)))
        first += len(sources)
    return jobs


def failures_to_json(failures: Iterable[Failure]) -> bytes:
    """`failed.jsonl`: a line for each source without tokens."""
    return _lines(map(asdict, failures))


def failures_from_json(data: bytes) -> list[Failure]:
    """Inverse of `failures_to_json`."""
    return [Failure(**json.loads(line)) for line in data.splitlines()]


def _lines(entries: Iterable[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(entry)}\n" for entry in entries).encode()
