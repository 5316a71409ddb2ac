"""Processes that work side by side: they end at once when their parent is asked to end, and clean up."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.process import BaseProcess

T = TypeVar("T")
R = TypeVar("R")
_PATIENCE_S = 3.0
"""Time that a process has to clean up."""
_AGAIN_S = 0.01
"""Time until an end is asked for again that came at a bad moment."""
_ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def ending_cleanly() -> None:
    """Let SIGTERM and SIGHUP end this process by SystemExit, with the exit code that shells expect.

    One that is ignored, as under nohup, stays so, and a process that is forked from this one just ends.
    A second one does not disturb the cleaning up: a pool sends one to each process left when the first has ended.
    One that comes where Python drops exceptions, in a callback or a finalizer, comes again.
    """
    process = os.getpid()
    heeded = [number for number in _ENDS if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:
            os._exit(128 + number)
        if _is_called_back(frame):
            _ask_again(number)
            return
        for other in _ENDS:
            signal.signal(other, signal.SIG_IGN)
        raise _AskedToEnd(number)

    def listen() -> None:
        for number in heeded:
            signal.signal(number, end)

    def dropped(exception: sys.UnraisableHookArgs) -> None:
        if isinstance(exception.exc_value, _AskedToEnd):
            listen()
            _ask_again(exception.exc_value.number)
        else:
            sys.__unraisablehook__(exception)

    listen()
    sys.unraisablehook = dropped


class _AskedToEnd(SystemExit):
    """This process is asked to end."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def _is_called_back(frame: FrameType | None) -> bool:
    """Whether libsndfile waits for our bytes: soundfile would take an exception for the end of the file, and go on."""
    while frame and not frame.f_code.co_qualname.startswith("SoundFile._init_virtual_io."):
        frame = frame.f_back
    return frame is not None


def _ask_again(number: int) -> None:
    timer = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


@contextmanager
def workers(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are ended at once, and clean up, when this one is interrupted; give them work by `in_worker`."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor  # takes longer to import than the rest of the command line

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            _end(multiprocessing.active_children())
            raise


def _end(children: Sequence[BaseProcess]) -> None:
    """Ask processes to end; one that does not in time, as it waits for a library, is ended."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + _PATIENCE_S
    while any(child.is_alive() for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    for child in children:
        child.kill()


def _begin() -> None:
    """A worker leaves Ctrl-C to its parent, which ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ending_cleanly()
    follow_parent()


def follow_parent() -> None:
    """Let this process end when the one that started it is gone, also by a SIGKILL: a pool's would wait for ever."""
    from multiprocessing import parent_process

    def follow() -> None:
        if parent := parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, name="follow-parent", daemon=True).start()


def in_worker(work: Callable[[T], R], job: T) -> R:
    """Do a job in a process of `workers`, which ends when it is asked to: a pool would take that for a result."""
    try:
        return work(job)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))
