"""The command that writes the codes of a corpus: tokenize."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from soundstream.cli.display import messages, shown_rate
from soundstream.cli.options import Force, ModelOption, Quiet, with_encode_options
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.session import CPU
from soundstream.tokens.layout import FAILED
from soundstream.tokens.run import Progress, Summary, tokenize
from soundstream.tokens.sources import printable

_LINE_S = 30.0
"""Time between two lines of progress where nobody looks on."""
_TOLD = 10
"""Failures that are told one by one; all of them stand in a file."""


class Engine(StrEnum):
    """Who does the work."""

    PROCESSES = "processes"
    RAY = "ray"


@partial(with_encode_options, of_files=False)
def tokenize_corpus(
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA...", help="Folders, files, lists (.txt) and manifests (.jsonl), or URLs of them."),
    ],
    output: Annotated[str, typer.Option("-o", "--output", metavar="OUT", help="A folder for the tokens, or its URL.")],
    *,
    num_quantizers: Annotated[
        int | None, typer.Option("--num-quantizers", "-n", min=1, help="Codebooks, in the place of --bitrate.")
    ] = None,
    options: EncodeOptions,
    provider: Annotated[str, typer.Option("--provider", help="Of ONNX Runtime, such as cuda.")] = CPU,
    engine: Annotated[
        Engine, typer.Option("--engine", help="Processes of this machine, or Ray: the cluster of RAY_ADDRESS.")
    ] = Engine.PROCESSES,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Shards at once; one a core by default.")
    ] = None,
    shard_mb: Annotated[
        float | None,
        typer.Option("--shard-mb", help="Megabytes of sources in a shard; by default a 32nd of all, 4 to 128."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a source that cannot be read.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what could not be read before.")] = False,
    model: ModelOption = "default",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write the codes of a corpus, for training on them: shards with an index, and a list of what could not be read.

    [dim]soundstream tokenize recordings/ -o tokens --bitrate 3000[/dim] takes every audio file in the folder and those
    below. Ended and started again, it goes on where it stopped, to the same bytes.

    [dim]soundstream tokenize manifest.jsonl -o tokens[/dim] takes pieces of files: a line is
    {"path": "talk.wav", "start": 1.5, "end": 9}; what else it says is kept with the codes.
    """
    with _told(quiet) as watch:
        summary = tokenize(
            data,
            output,
            options,
            num_quantizers=num_quantizers,
            model=model,
            provider=provider,
            engine=engine.value,
            jobs=jobs,
            shard_mb=shard_mb,
            strict=strict,
            retry=retry,
            force=force,
            watch=watch,
        )
    for failure in summary.failed[:_TOLD]:
        _say(f"failed: {failure}")
    if len(summary.failed) > _TOLD:
        _say(f"failed: {len(summary.failed) - _TOLD} more, in {printable(output)}/{FAILED}")
    if not quiet:
        _say(f"{printable(output)}: {_summed(summary)}")


def _summed(summary: Summary) -> str:
    parts = [f"{summary.sounds:,} sounds, {_hours(summary.duration_s)}, in {_counted(summary.shards)}"]
    if summary.made < summary.shards:
        parts.append(f"done already: {_counted(summary.shards - summary.made)}")
    if summary.failed:
        parts.append(f"{len(summary.failed):,} failed; --retry tries them again")
    return "; ".join(parts)


def _counted(shards: int) -> str:
    return f"{shards:,} shard{'s' * (shards != 1)}"


@contextmanager
def _told(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar, or lines from time to time where nobody looks on."""
    last = time.monotonic()
    with shown_rate("tokenizing", quiet) as bar:

        def watch(progress: Progress) -> None:
            nonlocal last
            said = f"{_hours(progress.duration_s)}, {progress.hours_per_hour:.1f} h of sound an hour"
            bar(progress.done_bytes, progress.total_bytes, said)
            if not (quiet or messages.is_terminal) and time.monotonic() - last > _LINE_S:
                last = time.monotonic()
                _say(f"{progress.done_bytes / max(1, progress.total_bytes):.0%}, {said}{_left(progress)}")

        yield watch


def _left(progress: Progress) -> str:
    return "" if progress.left_s is None else f", {timedelta(seconds=round(progress.left_s))} left"


def _hours(duration_s: float) -> str:
    return f"{duration_s / 3600:,.2f} h"


def _say(line: str) -> None:
    messages.print(line, soft_wrap=True, markup=False, highlight=False)
