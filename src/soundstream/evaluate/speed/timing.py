"""CPU time of code, taken in rounds so that a busy machine slows everything alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

GEMM_SIZE = 1024


@dataclass(frozen=True)
class TimedPart:
    """A piece of a codec's work on one clip."""

    codec: str
    part: str
    mode: str
    """`offline`: the clip in one call; `hop by hop`: one call a frame."""
    run: Callable[[], object]
    macs: float | None = None
    """Multiplications with additions of one run, where it is made of matrix products."""


def cpu_seconds(runs: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median CPU seconds of each function, all threads counted; a round calls each once, after one to warm up."""
    seconds = [[_cpu_seconds(run) for run in runs] for _ in range(rounds + 1)]
    return [float(median) for median in np.median(seconds[1:], axis=0)]


def single_thread() -> AbstractContextManager:
    """Hold the matrix products of NumPy to one thread."""
    return threadpool_limits(1)


def matrix_product() -> TimedPart:
    """A product of two float32 matrices of 1024 x 1024: what the machine can do."""
    ones = np.ones((GEMM_SIZE, GEMM_SIZE), np.float32)
    return TimedPart("machine", "sgemm", "offline", lambda: ones @ ones, GEMM_SIZE**3)


def gflops(macs: float, seconds: float) -> float:
    """Floating-point operations in 1e9 a second; a multiplication with its addition counts as two."""
    return 2e-9 * macs / seconds


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The 50th, 90th and 99th percentile."""
    return {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (50, 90, 99)}


def _cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start
