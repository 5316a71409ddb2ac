"""The whole step as one CUDA graph: a GPU then waits for no Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from soundstream.train.steps.schedule import Phase

Figures = dict[str, Tensor]
StepFunction = Callable[[Phase], Figures]
PLAIN_STEPS = 3
"""Steps of each phase that are run plainly before one is captured: libraries choose their algorithms in them."""


class Captured:
    """A step function, run plainly, or replayed as the CUDA graph of its phase.

    The function has to read all that changes from tensors that keep their places (`train.steps.inputs`) and to
    write to such: the same function then serves both ways. On a CPU, and where a capture fails, it is called plainly.
    Steps in which the balancer measures, if it does not in every step, are rare and stay plain.

    Args:
        function: the step.
        graphs: whether to capture it.
        rarely_measured: whether steps that measure are rare.
    """

    def __init__(self, function: StepFunction, graphs: bool, rarely_measured: bool = False) -> None:
        self.function, self.graphs, self.rarely_measured = function, graphs, rarely_measured
        self._remarks: list[str] = []
        self._captured: dict[Phase, tuple[torch.cuda.CUDAGraph, Figures]] = {}
        self._plain = Counter[Phase]()

    def __call__(self, phase: Phase) -> Figures:
        """Take a step; its figures are overwritten by the next step."""
        if not self.graphs or (phase.measured and self.rarely_measured):
            return self.function(phase)
        if phase in self._captured:
            graph, figures = self._captured[phase]
            graph.replay()
            return figures
        self._plain[phase] += 1
        return self._aside(phase) if self._plain[phase] <= PLAIN_STEPS else self._capture(phase)

    def pop_remarks(self) -> list[str]:
        """What happened since the last time, in words."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def forget(self) -> None:
        """Capture anew: tensors that a graph works on have been replaced."""
        self._captured.clear()
        self._plain.clear()

    def _aside(self, phase: Phase) -> Figures:
        """A plain step on another stream, as a capture needs it before."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            figures = self.function(phase)
        torch.cuda.current_stream().wait_stream(stream)
        return figures

    def _capture(self, phase: Phase) -> Figures:
        """Capture and take the step; from here on all steps are plain if that fails."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                figures = self.function(phase)
        except RuntimeError as error:
            self.graphs = False
            self._remarks.append(f"steps are run plainly, since no CUDA graph can be made of them: {error}")
            torch.cuda.synchronize()
            return self.function(phase)
        self._captured[phase] = graph, figures
        self._remarks.append(f"steps of this phase are a CUDA graph from here: {_named(phase)}")
        graph.replay()
        return figures


def _named(phase: Phase) -> str:
    return ", ".join(name for name, on in phase._asdict().items() if on) or "without quantizer"
