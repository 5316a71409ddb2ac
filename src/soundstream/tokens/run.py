"""A corpus to tokens: the plan, made once and kept, what of it is left to do, and the index of all."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from soundstream.codec.codec import load
from soundstream.errors import AudioError
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.session import CPU
from soundstream.system.files import FilePath
from soundstream.tokens.engines import ENGINES
from soundstream.tokens.layout import (
    FAILED,
    INDEX,
    ShardJob,
    failed_name,
    failures_from_json,
    failures_to_json,
    rows_name,
    shard_name,
)
from soundstream.tokens.plan import begun, settings_of
from soundstream.tokens.sources import Failure, find
from soundstream.tokens.storage import Storage, storage, write
from soundstream.tokens.worker import Report, Worker


@dataclass
class Progress:
    """How far a run is."""

    total_bytes: int
    """Of the sources that are to be done."""
    done_bytes: int = 0
    duration_s: float = 0.0
    """Of sound that was tokenized."""
    started: float = 0.0
    """By `time.monotonic`."""

    @property
    def hours_per_hour(self) -> float:
        """Hours of sound in an hour."""
        return self.duration_s / max(1e-9, time.monotonic() - self.started)

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take, by the bytes of what is done; None before anything is."""
        passed = time.monotonic() - self.started
        return passed * (self.total_bytes / self.done_bytes - 1) if self.done_bytes else None


@dataclass(frozen=True)
class Summary:
    """What a folder of tokens holds after a run."""

    sounds: int
    duration_s: float
    shards: int
    made: int
    """Shards of this run; the others were there before."""
    failed: tuple[Failure, ...]
    """Sources without tokens."""


def tokenize(
    data: Sequence[FilePath],
    out: FilePath,
    options: EncodeOptions | None = None,
    *,
    num_quantizers: int | None = None,
    model: FilePath = "default",
    provider: str = CPU,
    engine: str = "processes",
    jobs: int | None = None,
    shard_mb: float | None = None,
    strict: bool = False,
    retry: bool = False,
    force: bool = False,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Summary:
    """Write the tokens of a corpus to a folder; a run that was ended goes on where it stopped.

    Args:
        data: folders, files, lists and manifests, or URLs of them; see `sources.find`.
        out: a folder, or the URL of one.
        options: bitrate, denoise and effort.
        num_quantizers: codebooks, in the place of a bitrate.
        provider: of ONNX Runtime.
        engine: `processes` of this machine, or `ray`.
        jobs: shards at once; None is one a core.
        shard_mb: megabytes of sources in a shard; None is a 32nd of all, at least 4 and at most 128.
        strict: a source that cannot be read ends the run.
        retry: make again those shards that lack a source.
        force: make all anew, in the place of tokens that lie there.
        watch: told of progress after every shard.
    Raises:
        AudioError: with `strict`, a source cannot be read.
        ConfigError: an option is not supported, or there is nothing to do.
        InputError: one of `data` is not there.
        OutputError: the folder holds other tokens, or other files, or cannot be written.
    """
    codec = load(model, provider=provider)
    settings = settings_of(codec, options or EncodeOptions(), num_quantizers, shard_mb)
    place, found = storage(out), find(data)
    place.make()
    with place.locked():
        header, plan = begun(place, str(out), settings, codec, found, force)
        todo = _to_do(place, plan, retry)
        if todo:
            place.remove(INDEX)
        progress = Progress(sum(job.bytes for job in todo), started=time.monotonic())
        work = Worker(str(model), header, str(out))
        for report in _reports(ENGINES[engine](work, todo, jobs), progress, watch):
            _check(strict, report.failed)
        summary = _finished(place, plan, found.wrong, len(todo))
    _check(strict, summary.failed)
    return summary


def _to_do(place: Storage, plan: Sequence[ShardJob], retry: bool) -> list[ShardJob]:
    """Shards that are not there, the largest first, so that the last ones end together."""
    names = place.names()
    again = {job.number for job in plan if retry and failed_name(job.number) in names}
    for number in again:
        place.remove(shard_name(number))
    left = [job for job in plan if shard_name(job.number) not in names or job.number in again]
    return sorted(left, key=lambda job: -job.bytes)


def _reports(reports: Iterator[Report], progress: Progress, watch: Callable[[Progress], None]) -> Iterator[Report]:
    """Reports as they come, told to who watches."""
    watch(progress)
    for report in reports:
        progress.done_bytes += report.bytes
        progress.duration_s += report.duration_s
        watch(progress)
        yield report


def _check(strict: bool, failed: Sequence[Failure]) -> None:
    """Refuse failures.

    Raises:
        AudioError: there is one, and nobody wants one.
    """
    if strict and failed:
        raise AudioError(f"{failed[0]}; --retry tries it again")


def _finished(place: Storage, plan: Sequence[ShardJob], wrong: Sequence[Failure], made: int) -> Summary:
    """The index of all shards and the list of what is missing, and what they hold."""
    names = place.names()
    parts = [np.load(io.BytesIO(place.read(rows_name(job.number)))) for job in plan]
    failed = [*wrong]
    for name in (failed_name(job.number) for job in plan):
        failed += failures_from_json(place.read(name)) if name in names else ()
    index = np.concatenate(parts)
    file = io.BytesIO()
    np.save(file, index)
    write(place, FAILED, failures_to_json(failed))
    write(place, INDEX, file.getvalue())
    first = index[index["stream"] == 0]
    duration_s = float((first["num_samples"] / np.maximum(1, first["sample_rate"])).sum())
    return Summary(len(first), duration_s, len(plan), made, tuple(failed))
