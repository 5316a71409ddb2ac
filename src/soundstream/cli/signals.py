"""Ends that are asked for from outside: everything is cleaned up on the way, as after Ctrl-C."""

from __future__ import annotations

import os
import signal
from types import FrameType

_ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def ending_cleanly() -> None:
    """Let SIGTERM and SIGHUP end this process by SystemExit, with the exit code that shells expect.

    One that is ignored, as under nohup, stays so, and a process that is forked from this one just ends.
    A second one does not disturb the cleaning up: a pool sends one to each process left when the first has ended.
    """
    process = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:
            os._exit(128 + number)
        for other in _ENDS:
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in _ENDS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)
