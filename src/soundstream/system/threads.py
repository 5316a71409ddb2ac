"""Threads of the matrix library under NumPy, whose number is one setting for the whole process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from threadpoolctl import LibController, OpenBLASController, ThreadpoolController


class _Limit:
    """Holds the library to one thread while anybody wants it: the first in sets the limit, the last out lifts it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: list[int] = []

    def enter(self) -> None:
        with self._lock:
            if not self._users:
                self._before = [library.get_num_threads() for library in _libraries()]
                _set([1] * len(self._before))
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                _set(self._before)


@cache
def _libraries() -> list[LibController]:
    """The libraries that are loaded at the first use; finding them takes milliseconds."""
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _set(numbers: Sequence[int]) -> None:
    """Set the number of threads of each library, from any thread, and leave others free to do so too.

    threadpoolctl lets the thread that did it first do it again, and passes over others in silence. The first in and the
    last out are seldom the same.
    """
    OpenBLASController.clear_controlling_thread(force=True)
    for library, number in zip(_libraries(), numbers, strict=True):
        library.set_num_threads(number)
    OpenBLASController.clear_controlling_thread(force=True)


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
