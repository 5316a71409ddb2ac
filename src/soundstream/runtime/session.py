"""One network in ONNX Runtime: `step` takes the next input and the state, and returns output and new state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from soundstream.errors import ArtifactError

Array = NDArray[np.float32]
State = dict[str, onnxruntime.OrtValue]
"""State tensors by name. They stay inside ONNX Runtime from one call to the next, without a copy."""

STATE_SUFFIX = ".next"


class Network:
    """An ONNX graph whose first output is its result and whose `NAME.next` outputs are the next call's state inputs."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ArtifactError(f"ONNX Runtime cannot load {path}: {error}") from error
        self.outputs = [output.name for output in self.session.get_outputs()]
        states = {name.removesuffix(STATE_SUFFIX) for name in self.outputs[1:]}
        self.state_shapes = {i.name: i.shape[1:] for i in self.session.get_inputs() if i.name in states}

    def init_state(self, batch: int) -> State:
        """State before the first sample, for `batch` signals side by side."""
        zeros = {name: np.zeros((batch, *shape), np.float32) for name, shape in self.state_shapes.items()}
        return {name: onnxruntime.OrtValue.ortvalue_from_numpy(value) for name, value in zeros.items()}

    def step(self, state: State, **inputs: Array) -> tuple[Array, State]:
        """Run the graph on the next `[batch, channels, 1, time]` inputs."""
        values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(value) for name, value in inputs.items()}
        result, *new = self.session.run_with_ort_values(self.outputs, values | state)
        names = (name.removesuffix(STATE_SUFFIX) for name in self.outputs[1:])
        return result.numpy(), dict(zip(names, new, strict=True))
