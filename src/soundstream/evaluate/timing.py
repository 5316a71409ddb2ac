"""CPU time of code, taken in rounds so that a busy machine slows everything alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import numpy as np

from soundstream.evaluate.extras import extra

GEMM_SIZE = 1024


def cpu_seconds(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each function, all threads counted; every round calls each once, the first is not counted."""
    seconds = {name: [_cpu_seconds(run) for _ in range(0)] for name, run in runs.items()}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            seconds[name].append(_cpu_seconds(run))
    return {name: float(np.median(values[1:])) for name, values in seconds.items()}


def single_thread() -> AbstractContextManager:
    """Hold NumPy's matrix products to one thread.

    Raises:
        CodecError: threadpoolctl is not installed.
    """
    with extra("eval"):
        from threadpoolctl import threadpool_limits
    return threadpool_limits(1)


def sgemm() -> np.ndarray:
    """One product of float32 matrices of 1024 x 1024."""
    ones = np.ones((GEMM_SIZE, GEMM_SIZE), np.float32)
    return ones @ ones


def gflops(macs: float, seconds: float) -> float:
    """1e9 floating-point operations a second, two for each multiplication with its addition."""
    return 2e-9 * macs / seconds


def _cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start
