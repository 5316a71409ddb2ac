"""Threads of the matrix library under NumPy, whose number is one setting for the whole process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


class _Limit:
    """Holds the library to one thread while anybody wants it: the first in sets the limit, the last out lifts it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0

    def enter(self) -> None:
        with self._lock:
            if not self._users:
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._limiter.restore_original_limits()


@cache
def _controller() -> ThreadpoolController:
    """The libraries that are loaded at the first use; finding them takes milliseconds."""
    return ThreadpoolController()


_LIMIT = _Limit()


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Hold matrix products to one thread, for work so small that a second one costs more than it saves.

    Any number of threads may do so at once; when the last is done, the process has as many threads as before the first.
    """
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()
