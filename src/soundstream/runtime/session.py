"""One network in ONNX Runtime: `step` takes the state and the next input, and returns output and new state."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from soundstream.arrays import Array
from soundstream.errors import ArtifactError, ConfigError, ModelMismatch
from soundstream.graph_names import PADDING, SKIPPED

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
_PADDED = re.compile(rb"(" + re.escape(PADDING.encode()) + rb"\x4a\x40).{64}", re.DOTALL)
"""A weight of eight whole numbers."""
_SKIPPED = re.compile(rb"(" + re.escape(SKIPPED.encode()) + rb"(\d+)\.(start|end)\x4a\x08).{8}", re.DOTALL)
"""One of a single number."""
_SIGNS = {b"start": 1, b"end": -1}
_WHOLE = struct.Struct("<q")


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
        self._arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        self.tensors = {name: _tensor(array) for name, array in self._arrays.items()}

    def bind(self, session: onnxruntime.InferenceSession, successor: State) -> None:
        """Let calls of `session` read this state and write `successor`."""
        self.binding, self.next = session.io_binding(), successor
        for name, tensor in self.tensors.items():
            self.binding.bind_ortvalue_input(name, tensor)
            self.binding.bind_ortvalue_output(name + STATE_SUFFIX, successor.tensors[name])

    def reorder(self, rows: NDArray[np.int64]) -> None:
        """Let each signal go on from what is remembered of another, or itself: `[batch]` of them."""
        for array in self._arrays.values():
            array[:] = array[rows]


class Network:
    """An ONNX graph whose first outputs are its results and whose `NAME.next` outputs are the next call's state inputs.

    Args:
        hop_length: samples a frame, which tell the length of a result in samples from that in frames, and back.
        threads: CPU threads of ONNX Runtime.
        provider: as `execution_provider`; what it lacks runs on the CPU.
        padded: False pads and trims nothing at the ends, in graphs that say how much they do.
    Raises:
        ConfigError: threads is no whole number from 1 on, or the provider is not there.
        ModelMismatch: the graph is to pad nothing, and does not say how much it does.
    """

    def __init__(self, path: Path, hop_length: int, threads: int = 1, provider: str = CPU, padded: bool = True) -> None:
        if not isinstance(threads, int | np.integer) or threads < 1:
            raise ConfigError(f"threads is {threads!r}; expected a whole number from 1 on")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(threads)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            providers = [*dict.fromkeys(map(execution_provider, (provider, CPU)))]
            graph = str(path) if padded else without_padding(path.read_bytes())
            self.session = onnxruntime.InferenceSession(graph, options, providers=providers)
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

    def condition(self, rows: int, frames: int, told: tuple[float, ...]) -> dict[str, Array]:
        """The condition of a graph that takes one, by its name; what is told to more channels than it has is left out.

        Args:
            told: a number for each channel, the same in all frames.
        """
        channels = self.input_channels("condition")
        if not channels:
            return {}
        condition = np.zeros((rows, channels, 1, frames), np.float32)
        for channel, value in enumerate(told[:channels]):
            condition[:, channel] = value
        return {"condition": condition}

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

    def run(self, **inputs: Array) -> Array:
        """The first result, of whatever length, of a graph without states."""
        return np.asarray(self.session.run([self._results[0].name], inputs)[0])

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


def without_padding(graph: bytes) -> bytes:
    """The same graph without anything padded or trimmed at the ends of a signal, and what goes beside layers cut.

    Weights with names for it say that; their bytes follow the names, as ONNX stores them.

    Raises:
        ModelMismatch: there are none.
    """
    changed, count = _PADDED.subn(lambda found: found[1] + bytes(64), graph)
    if not count:
        raise ModelMismatch("the model's networks cannot do without padding, as DAC's can; give a model of DAC")
    return _SKIPPED.sub(lambda found: found[1] + _WHOLE.pack(int(found[2]) * _SIGNS[found[3]]), changed)


def _tensor(array: Array) -> onnxruntime.OrtValue:
    """The array's own memory as ONNX Runtime sees it."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
