"""What a person sees on stderr while a command works."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

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
from rich.text import Text

from soundstream.errors import AudioWarning

messages = Console(stderr=True)


def tell_warnings() -> None:
    """From now on, show warnings of audio as one line each; others stay as they are."""
    other = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, AudioWarning):
            messages.print(Text(f"warning: {message}", style="yellow"), soft_wrap=True)
        else:
            other(message, category, filename, lineno, file, line)

    warnings.simplefilter("always", AudioWarning)
    warnings.showwarning = show


@contextmanager
def shown(what: str, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar that is told how much of how much is done, and goes away at the end."""
    with _bar(what, TaskProgressColumn(), quiet, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def shown_files(what: str, files: int, total_bytes: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar for many files, which is told the bytes of each that is over."""
    with _bar(what, TextColumn("{task.fields[over]}/{task.fields[files]} files"), quiet, transient=True) as progress:
        task = progress.add_task(what, total=total_bytes, over=0, files=files)

        def over(size: int) -> None:
            progress.update(task, advance=size, over=progress.tasks[0].fields["over"] + 1)

        yield over


@contextmanager
def shown_rate(what: str, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A bar that is told how much of how much is done, and words on how fast."""
    with _bar(what, TextColumn("{task.fields[said]}"), quiet, transient=True) as progress:
        task = progress.add_task(what, total=None, said="")
        yield lambda done, total, said: progress.update(task, completed=done, total=total, said=said)


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
