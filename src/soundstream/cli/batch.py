"""Many files at once: which they are, where they go, what is done already, and what became of them."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from soundstream.codec import Transfer
from soundstream.errors import CodecError, ConfigError, OutputError
from soundstream.system.folders import absolute, files_in
from soundstream.system.processes import in_worker, workers

Work = Callable[[str, str], Transfer]
"""Codes a source to an output."""

JOURNAL = ".soundstream.jsonl"
"""File in the output folder that holds a line for each file that is done."""


@dataclass(frozen=True)
class FileJob:
    """One file and where it goes."""

    source: Path
    output: Path


@dataclass(frozen=True)
class Plan:
    """What there is to do."""

    jobs: list[FileJob]
    passed_over: int
    """Files in the folders that have another suffix."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: FileJob
    transfer: Transfer | None = None
    error: str = ""
    """Why there is no transfer."""
    told: tuple[str, ...] = ()
    """Warnings."""


@dataclass
class BatchSummary:
    """What became of all."""

    outcomes: list[Outcome] = field(default_factory=list)
    done_before: int = 0

    @property
    def failed(self) -> list[Outcome]:
        """Those without a transfer."""
        return [outcome for outcome in self.outcomes if outcome.transfer is None]

    @property
    def transfers(self) -> list[Transfer]:
        """Those that went well."""
        return [outcome.transfer for outcome in self.outcomes if outcome.transfer]


def plan(sources: Iterable[str], suffixes: frozenset[str], output: Path, new_suffix: str) -> Plan:
    """Find files, by name or in folders and theirs, and give each an output of its own.

    The tree below a folder is kept; with several sources so is the folder's own name. Outputs that would have the same
    name are told apart by the folders around their sources or, in the same folder, by the suffixes of these.

    Args:
        suffixes: of the files that are taken from folders, in lower case.
        output: folder of the outputs.
        new_suffix: of the outputs.
    Raises:
        ConfigError: nothing is found, or a source is stdin.
    """
    sources = list(sources)
    found: dict[Path, int] = {}
    passed_over = 0
    for source in sources:
        if source == "-":
            raise ConfigError("stdin cannot be one of several inputs; give it alone")
        if not Path(source).is_dir():
            found.setdefault(absolute(source), 1)
            continue
        for path, depth in files_in(source):
            if path.suffix.lower() in suffixes:
                found.setdefault(path, depth + (len(sources) > 1))
            else:
                passed_over += 1
    if not found:
        raise ConfigError(f"no file in {', '.join(sources)} ends in {', '.join(sorted(suffixes))}")
    names = _distinct(found, new_suffix)
    return Plan([FileJob(path, output / names[path]) for path in found], passed_over)


def _distinct(depths: dict[Path, int], suffix: str) -> dict[Path, Path]:
    """A name for each path, made of so many of its last names; see `plan`."""
    depths, whole = dict(depths), set[Path]()
    while True:
        tails = {path: Path(*path.relative_to(path.anchor).parts[-depth:]) for path, depth in depths.items()}
        names = {
            path: tail.with_name(tail.name + suffix) if path in whole else tail.with_suffix(suffix)
            for path, tail in tails.items()
        }
        groups = defaultdict(list)
        for path, name in names.items():
            groups[name].append(path)
        same = [group for group in groups.values() if len(group) > 1]
        if not same:
            return names
        for group in same:
            if len({path.parent for path in group}) > 1:
                depths.update((path, depths[path] + 1) for path in group)
            else:
                whole.update(group)


class Journal:
    """What is done in an output folder, from what and how, so that a run that was ended can go on.

    Args:
        settings: how files are made now, as JSON; what was made in another way is not done.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        self._folder, self._settings = folder, settings
        self._lines = dict(self._read())

    def _read(self) -> Iterator[tuple[str, dict[str, object]]]:
        try:
            text = (self._folder / JOURNAL).read_text(encoding="utf-8")
        except OSError:
            return
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                yield entry["output"], entry
            except (ValueError, KeyError, TypeError):
                continue  # a line that was cut off

    def has(self, job: FileJob) -> bool:
        """Whether the output is there and was made of this very source in this way."""
        return job.output.is_file() and self._lines.get(self._name(job)) == self._entry(job)

    def note(self, job: FileJob) -> None:
        """Write down that a job is done."""
        with (self._folder / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(self._entry(job)) + "\n")

    def _entry(self, job: FileJob) -> dict[str, object]:
        status = job.source.stat() if job.source.exists() else None
        return {
            "output": self._name(job),
            "source": str(job.source),
            "bytes": status.st_size if status else None,
            "modified_ns": status.st_mtime_ns if status else None,
            "settings": self._settings,
        }

    def _name(self, job: FileJob) -> str:
        return job.output.relative_to(self._folder).as_posix()


def run(
    jobs: Sequence[FileJob],
    work: Work,
    journal: Journal,
    processes: int,
    force: bool = False,
    watch: Callable[[FileJob], None] = lambda job: None,
) -> BatchSummary:
    """Do all jobs that are not done yet; one that fails does not stop the others.

    Args:
        work: must be picklable for more than one process.
        processes: at once; with one, all is done in this process.
        force: do again what is done.
        watch: told of each job that is over, also of those that were done before.
    """
    summary = BatchSummary()
    waiting = []
    for job in jobs:
        if not force and journal.has(job):
            summary.done_before += 1
            watch(job)
        else:
            waiting.append(job)
    for outcome in _outcomes(waiting, work, min(processes, len(waiting))):
        summary.outcomes.append(outcome)
        if outcome.transfer:
            journal.note(outcome.job)
        watch(outcome.job)
    return summary


def _outcomes(jobs: Sequence[FileJob], work: Work, processes: int) -> Iterator[Outcome]:
    if processes <= 1:
        yield from (attempt(work, job) for job in jobs)
        return
    from concurrent.futures import as_completed  # takes longer to import than the rest of the command line
    from concurrent.futures.process import BrokenProcessPool

    with workers(processes) as pool:
        running = {pool.submit(in_worker, partial(attempt, work), job): job for job in jobs}
        for future in as_completed(running):
            try:
                yield future.result()
            except BrokenProcessPool:
                yield Outcome(running[future], error="its process was ended from outside; try fewer --jobs")


def attempt(work: Work, job: FileJob) -> Outcome:
    """Do a job; whatever goes wrong is told in the outcome."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            make_folder(job.output.parent)
            transfer, error = work(str(job.source), str(job.output)), ""
        except CodecError as reason:
            transfer, error = None, str(reason)
        except OSError as reason:
            transfer, error = None, f"{job.source}: {reason}"
    return Outcome(job, transfer, error, tuple(str(warning.message) for warning in told))


def make_folder(folder: Path) -> None:
    """Make the folder of the outputs.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
