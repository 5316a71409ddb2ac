"""Who calls the worker: this process, several of this machine, or Ray on a cluster. All give the same shards."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from soundstream.errors import CodecError
from soundstream.system.extras import extra, needs
from soundstream.system.processes import cores, in_worker, workers
from soundstream.tokens.layout import ShardJob
from soundstream.tokens.worker import Report

Work = Callable[[ShardJob], Report]
Engine = Callable[[Work, Sequence[ShardJob], int | None], Iterator[Report]]
"""Does jobs, so many at once, and gives reports as they come; None is as many as there are cores."""

_TRIES = 3
"""Times in a row that processes may be ended before any of them has made a shard."""
_MAX_TASKS = 5000
"""Of Ray at most; each does several shards where there are more."""


def run_processes(work: Work, jobs: Sequence[ShardJob], at_once: int | None = None) -> Iterator[Report]:
    """Do jobs in processes of this machine; of one, in this process.

    Where a process is ended from outside, its shard is made again by another one.

    Raises:
        CodecError: as the worker, or processes are ended again and again before they make one.
    """
    count = min(at_once or cores(), len(jobs))
    if count <= 1:
        yield from map(work, jobs)
        return
    left, in_vain = {job.number: job for job in jobs}, 0
    while left:
        before = len(left)
        for report in _until_broken(work, [*left.values()], count):
            del left[report.number]
            yield report
        in_vain = in_vain + 1 if len(left) == before else 0
        if in_vain == _TRIES:
            raise CodecError(
                f"processes were ended from outside again and again, with {len(left)} shards to make, such as shard "
                f"{min(left)}; fewer --jobs need less memory"
            )


def _until_broken(work: Work, jobs: Sequence[ShardJob], count: int) -> Iterator[Report]:
    """Reports until all is done, or a process is gone."""
    from concurrent.futures import as_completed
    from concurrent.futures.process import BrokenProcessPool

    with workers(count) as pool:
        for future in as_completed([pool.submit(in_worker, work, job) for job in jobs]):
            try:
                yield future.result()
            except BrokenProcessPool:
                continue


def run_ray(work: Work, jobs: Sequence[ShardJob], at_once: int | None = None) -> Iterator[Report]:
    """Do jobs with Ray Data: on the cluster that RAY_ADDRESS names, or on this machine.

    Where a worker or a machine is lost, Ray gives its task to another one.

    Raises:
        CodecError: Ray is not installed or does not start, or as the worker.
    """
    with needs(extra("scale")):
        import ray
        import ray.data
    try:
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False)
    except Exception as error:  # Ray raises that very class where its parts do not start in time
        raise CodecError(f"Ray does not start, or is not where RAY_ADDRESS says: {error}") from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    items = [{"job": pickle.dumps(job)} for job in jobs]
    rows = ray.data.from_items(items, override_num_blocks=min(len(items), _MAX_TASKS))
    try:
        for row in rows.map(_RayTask(work), num_cpus=1, concurrency=at_once).iter_rows():
            yield pickle.loads(row["report"])
    except ray.exceptions.RayError as error:
        raise CodecError(f"Ray: {_cause(error)}") from error


class _RayTask:
    """The worker with jobs and reports as bytes, which Ray's tables hold."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"report": pickle.dumps(self._work(pickle.loads(row["job"])))}


def _cause(error: BaseException) -> BaseException:
    """What a worker raised, under what Ray wraps it in."""
    inner = getattr(error, "cause", None) or error.__cause__
    return _cause(inner) if isinstance(inner, BaseException) else error


ENGINES: dict[str, Engine] = {"processes": run_processes, "ray": run_ray}
