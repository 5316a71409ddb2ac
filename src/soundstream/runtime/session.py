"""One network in ONNX Runtime: `step` takes the state and the next input, and returns output and new state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from soundstream.arrays import Array
from soundstream.errors import ArtifactError, ConfigError

CPU = "cpu"
"""The provider of ONNX Runtime that is always there."""
STATE_SUFFIX = ".next"
MACS_PROPERTY = "macs_per_frame"
"""Metadata of an ONNX graph: multiplications with additions for one frame of one signal."""
_LOAD_ERRORS = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)


def execution_provider(name: str) -> str:
    """What ONNX Runtime calls a provider, such as CUDAExecutionProvider for `cuda`.

    Raises:
        ConfigError: the ONNX Runtime that is installed does not have it.
    """
    found = {
        provider.removesuffix("ExecutionProvider").lower(): provider
        for provider in onnxruntime.get_available_providers()
    }
    if name.lower() not in found:
        raise ConfigError(
            f"provider {name!r} is not in this ONNX Runtime, which has: {', '.join(found)}; "
            "for cuda install onnxruntime-gpu in the place of onnxruntime"
        )
    return found[name.lower()]


class State:
    """What a network remembers of one batch of signals: a place for its tensors, and the state that comes after it.

    Two states take turns, so that no call allocates: stepping A writes B, stepping B writes A. A state therefore
    holds its values until its successor is stepped.
    """

    binding: onnxruntime.IOBinding
    next: State

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.tensors = {name: _tensor(np.zeros(shape, np.float32)) for name, shape in shapes.items()}

    def bind(self, session: onnxruntime.InferenceSession, successor: State) -> None:
        """Let calls of `session` read this state and write `successor`."""
        self.binding, self.next = session.io_binding(), successor
        for name, tensor in self.tensors.items():
            self.binding.bind_ortvalue_input(name, tensor)
            self.binding.bind_ortvalue_output(name + STATE_SUFFIX, successor.tensors[name])


class Network:
    """An ONNX graph whose first outputs are its results and whose `NAME.next` outputs are the next call's state inputs.

    Args:
        hop_length: samples a frame, which tell the length of a result in samples from that in frames, and back.
        threads: CPU threads of ONNX Runtime.
        provider: as `execution_provider`; what it lacks runs on the CPU.
    Raises:
        ConfigError: threads is no whole number from 1 on, or the provider is not there.
    """

    def __init__(self, path: Path, hop_length: int, threads: int = 1, provider: str = CPU) -> None:
        if not isinstance(threads, int | np.integer) or threads < 1:
            raise ConfigError(f"threads is {threads!r}; expected a whole number from 1 on")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(threads)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            providers = [*dict.fromkeys(map(execution_provider, (provider, CPU)))]
            self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except _LOAD_ERRORS as error:
            raise ArtifactError(f"ONNX Runtime cannot load {path}: {error}") from error
        self._hop_length = hop_length
        self.macs_per_frame = int(self.session.get_modelmeta().custom_metadata_map.get(MACS_PROPERTY, 0))
        """Multiplications with additions for one frame of one signal; 0 if the graph does not say."""
        outputs = self.session.get_outputs()
        self._results = [output for output in outputs if not output.name.endswith(STATE_SUFFIX)]
        states = {output.name.removesuffix(STATE_SUFFIX) for output in outputs if output not in self._results}
        self._inputs = {i.name: i.shape for i in self.session.get_inputs() if i.name not in states}
        self.state_shapes = {i.name: i.shape[1:] for i in self.session.get_inputs() if i.name in states}

    def input_channels(self, name: str) -> int:
        """Channels of an input; 0 if the graph has none of this name."""
        return int(self._inputs[name][1]) if name in self._inputs else 0

    def init_state(self, batch: int) -> State:
        """State before the first sample, for `batch` signals side by side."""
        shapes = {name: (batch, *shape) for name, shape in self.state_shapes.items()}
        first, second = State(shapes), State(shapes)
        first.bind(self.session, second)
        second.bind(self.session, first)
        return first

    def step(self, state: State, **inputs: Array) -> tuple[Array, State]:
        """Run the graph on the next `[batch, channels, 1, time]` inputs; its first result."""
        (result, *_), state = self.step_all(state, **inputs)
        return result, state

    def step_all(self, state: State, **inputs: Array) -> tuple[list[Array], State]:
        """The same with all results, in the graph's order."""
        sizes = self._sizes(inputs)
        results = [np.empty([sizes.get(key, key) for key in one.shape], np.float32) for one in self._results]
        for name, value in inputs.items():
            state.binding.bind_cpu_input(name, value)
        for output, result in zip(self._results, results, strict=True):
            state.binding.bind_ortvalue_output(output.name, _tensor(result))
        self.session.run_with_iobinding(state.binding)
        return results, state.next

    def _sizes(self, inputs: dict[str, Array]) -> dict[str | int, int]:
        """Sizes by their names `batch`, `frames` and `samples`, from those of the inputs; a begun frame is one."""
        sizes = {
            key: size
            for name, value in inputs.items()
            for key, size in zip(self._inputs[name], value.shape, strict=True)
        }
        sizes.setdefault("frames", -(-sizes.get("samples", 0) // self._hop_length))
        sizes["samples"] = sizes["frames"] * self._hop_length
        return sizes


def _tensor(array: Array) -> onnxruntime.OrtValue:
    """The array's own memory as ONNX Runtime sees it."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
