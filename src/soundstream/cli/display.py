"""What a person sees on stderr while a command works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Array = NDArray[np.float32]

messages = Console(stderr=True)


def shown(blocks: Iterable[Array], what: str, num_samples: int | None, quiet: bool) -> Iterator[Array]:
    """Pass blocks of pcm `[channels, samples]` on under a bar that goes away at the end."""
    with _bar(what, TaskProgressColumn(), quiet, transient=True) as progress:
        task = progress.add_task(what, total=num_samples)
        for block in blocks:
            yield block
            progress.advance(task, block.shape[1])


@contextmanager
def counted(what: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told how many items of how many are done."""
    with _bar(what, MofNCompleteColumn(), quiet, transient=False) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _bar(what: str, share: ProgressColumn, quiet: bool, transient: bool) -> Progress:
    """A bar that shows only where a person looks on."""
    columns = TextColumn(what), BarColumn(), share, TimeElapsedColumn(), TimeRemainingColumn()
    return Progress(*columns, console=messages, transient=transient, disable=quiet or not messages.is_terminal)
