"""Runs every codec on every clip, in parallel and resumable: a finished pair is one line of `rows.jsonl`."""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from soundstream import audio
from soundstream.arrays import Array
from soundstream.errors import CodecError
from soundstream.evaluate import clips, metrics
from soundstream.evaluate.align import align
from soundstream.evaluate.clips import Clip
from soundstream.evaluate.codecs.spec import Sources, Spec, make
from soundstream.evaluate.rows import Row, load_rows
from soundstream.system.processes import follow_parent

PACKAGES = ("numpy", "av", "visqol-python", "ai-edge-litert", "pesq", "pystoi", "speechmos", "onnxruntime", "soxr")
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """One codec on one clip; small enough to send to another process."""

    key: str
    clip: Clip
    spec: Spec
    sources: Sources
    metric_names: tuple[str, ...]


def plan(
    chosen: Sequence[Clip], specs: Sequence[Spec], sources: Sources, names: Sequence[str], model_ids: dict[str, str]
) -> list[Job]:
    """A job for each clip and codec, clip by clip; `model_ids` names the weights of each family that is ours."""
    made = []
    for clip in chosen:
        content = clips.content_hash(*clips.read(clip))
        for spec in specs:
            origin = {**model_ids, (sources.shell or ("",))[0]: sources.shell}.get(spec.family)
            identity = [str(spec), origin, content, clip.name, clip.content_class, *names, versions()]
            key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]
            made.append(Job(key, clip, spec, sources, tuple(names)))
    return made


def run(jobs: Sequence[Job], path: Path, workers: int, report: Callable[[int], None]) -> list[Row]:
    """Rows of all jobs, in their order; those already in the file at `path` are not computed again.

    Args:
        workers: processes; one means that this process does the work.
        report: told how many jobs are done, whenever that changes.
    Raises:
        CodecError: a codec or a metric failed; what was finished is kept.
    """
    rows = load_rows(path)
    left = [job for job in jobs if job.key not in rows]
    report(len(jobs) - len(left))
    with path.open("a", encoding="utf-8") as file, _results(left, workers) as results:
        for done, row in enumerate(results, len(jobs) - len(left) + 1):
            rows[row.key] = row
            file.write(json.dumps(asdict(row)) + "\n")
            file.flush()
            report(done)
    return [rows[job.key] for job in jobs]


def process(clip: Clip, spec: Spec, sources: Sources) -> tuple[Array, Array, int, bytes, int]:
    """Code one clip: original and aligned decoded audio `[samples]`, sample rate, coded bytes, delay in samples."""
    pcm, sample_rate = clips.read(clip)
    codec = make(spec, sources)
    data = codec.encode(pcm[None], sample_rate)
    decoded, rate = codec.decode(data)
    at_rate = audio.resample(decoded, rate, sample_rate)[0]
    aligned, delay = align(pcm, at_rate, sample_rate)
    return pcm, aligned, sample_rate, data, delay


@functools.cache
def versions() -> dict[str, str]:
    """Versions of the packages that a row depends on, where installed; looked up once."""
    installed = {distribution.metadata["Name"] for distribution in metadata.distributions()}
    return {name: metadata.version(name) for name in PACKAGES if name in installed}


def _work(job: Job) -> Row:
    pcm, decoded, sample_rate, data, delay = process(job.clip, job.spec, job.sources)
    seconds = len(pcm) / sample_rate
    wanted = [m for m in metrics.select(job.metric_names) if m.means_something_for(job.clip.content_class)]
    return Row(
        key=job.key,
        clip=job.clip.name,
        content_class=job.clip.content_class,
        codec=str(job.spec),
        seconds=round(seconds, 3),
        bytes=len(data),
        bitrate=round(8 * len(data) / seconds, 1) if job.spec.has_rate else None,
        delay_ms=round(1000 * delay / sample_rate, 2),
        metrics={m.name: metrics.measure(m, pcm, decoded, sample_rate) for m in wanted},
    )


@contextmanager
def _results(jobs: Sequence[Job], workers: int) -> Iterator[Iterator[Row]]:
    if min(workers, len(jobs)) <= 1:
        yield map(_work, jobs)
        return
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))  # read by the workers as they start
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), follow_parent)
    try:
        yield _as_completed({pool.submit(_work, job) for job in jobs})
    except BrokenProcessPool as error:
        raise CodecError("a worker process was killed, perhaps for memory; go on with fewer --jobs") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _as_completed(futures: set[Future[Row]]) -> Iterator[Row]:
    while futures:
        done, futures = wait(futures, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()
