"""A captured step, tried on a CPU: operations are recorded in the place of kernels, and done again on a replay."""

import contextlib
import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import tiny
from soundstream.train.losses.reconstruction import LossConfig
from soundstream.train.steps import capture
from soundstream.train.steps.capture import Captured
from soundstream.train.steps.schedule import Phase
from tiny import learner


class Recording(TorchDispatchMode):
    """Stands for a CUDA graph: the operations of one call, their Python numbers as they were, and its tensors.

    What is recorded is done at once, so that the replay that follows a capture has nothing to do.
    """

    def __init__(self):
        super().__init__()
        self.operations, self.is_fresh = [], True

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = tree_map(alias, (args, kwargs or {}))
        made = func(*args, **(kwargs or {}))
        is_view = any(r.alias_info and not r.alias_info.is_write for r in func._schema.returns)
        if not is_view and torch.Tag.inplace_view not in func.tags:  # views are there already
            self.operations.append((func, *given, tree_map(alias, made)))
        return made

    @torch.no_grad()
    def replay(self):
        if self.is_fresh:
            self.is_fresh = False
            return
        for func, args, kwargs, made in self.operations:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def alias(x):
    """The same numbers, in the shape that they have now."""
    return x.detach() if isinstance(x, torch.Tensor) else x


class Stream:
    def wait_stream(self, other):
        pass


@pytest.fixture
def recording(monkeypatch):
    """CUDA graphs are recordings, streams do nothing, and a phase is captured after one plain step."""
    monkeypatch.setattr(capture, "PLAIN_STEPS", 1)
    stubs = {"CUDAGraph": Recording, "graph": lambda graph: graph, "Stream": Stream, "current_stream": Stream}
    stubs |= {"stream": lambda stream: contextlib.nullcontext(), "synchronize": lambda: None}
    for name, stub in stubs.items():
        monkeypatch.setattr(capture.torch.cuda, name, stub)


SHIFTING = LossConfig(shift_steps=(0, 6), levels_weight=(0.0, 0.3), harmonic_weight=(0.1, 0.2))
RUNS = {
    "without quantizer, trunk": {"quantize_from_step": 99, "codec": tiny.TRUNK, "trunk_from_step": 3},
    "quantized, decay": {
        "quantize_from_step": 0,
        "quantizer_effort": 2,
        "loss": dataclasses.replace(SHIFTING, balancer_decay=0.9),
    },
    "adversarial": {
        "adversarial_from_step": 1,
        "discriminator_crop_frames": 20,
        "discriminator_examples": 1,
        "discriminator_ramp_steps": 3,
    },
    "rarely measured": {"adversarial_from_step": 1, "loss": LossConfig(balance_every=3, balancer_decay=0.5)},
    "spectral, per example": {
        "codec": tiny.SPECTRAL,
        "data": dataclasses.replace(tiny.RUN.data, denoise_probability=0.5),
        "loss": dataclasses.replace(SHIFTING, per_example=True),
    },
}


@pytest.mark.parametrize("run", RUNS)
def test_replayed_steps_equal_plain_ones_to_the_last_bit(recording, run):
    settings = {"total_steps": 10, "quantize_from_step": 2, "loss": SHIFTING} | RUNS[run]
    plain, replayed = learner(**settings), learner(**settings)
    replayed.take.graphs = True
    for _ in range(7):
        expected = {name: value.clone() for name, value in plain.step().items()}
        figures = replayed.step()
        assert {name: float(value) for name, value in figures.items()} == {
            name: float(value) for name, value in expected.items()
        }
    assert replayed.take.pop_remarks()
    a, b = plain.state(), replayed.state()
    for part in ("model", "average", "optimizer", "discriminator", "discriminator_optimizer", "balancer"):
        tensors = getattr(a, part), getattr(b, part)
        assert tensors[0].keys() == tensors[1].keys()
        assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def test_after_a_step_back_graphs_are_made_anew(recording):
    settings = {"total_steps": 10, "quantize_from_step": 0}
    plain, replayed = learner(**settings), learner(**settings)
    replayed.take.graphs = True
    for made in (plain, replayed):
        kept = made.state().clone()
        for _ in range(3):
            made.step()
        made.restore(kept)
        for _ in range(3):
            figures = {name: float(value) for name, value in made.step().items()}
        made.last = figures
    assert plain.last == replayed.last


def counted(graphs=True, **options):
    """A captured function that counts its calls, and the list of them."""
    calls = []

    def function(phase):
        calls.append(phase)
        return {"calls": torch.tensor(float(len(calls)))}

    return Captured(function, graphs, **options), calls


def test_on_a_cpu_every_step_is_plain():
    take, calls = counted(graphs=False)
    assert [float(take(Phase())["calls"]) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert calls == [Phase()] * 6


def test_each_phase_is_captured_after_some_plain_steps_and_called_no_more(recording):
    take, calls = counted()
    for phase in [Phase()] * 8 + [Phase(judged=True)] * 8 + [Phase()] * 3:
        take(phase)
    assert calls == [Phase()] * (capture.PLAIN_STEPS + 1) + [Phase(judged=True)] * (capture.PLAIN_STEPS + 1)
    assert len(take.pop_remarks()) == 2 and take.pop_remarks() == []


def test_steps_that_measure_now_and_then_stay_plain(recording):
    take, calls = counted(rarely_measured=True)
    for i in range(20):
        take(Phase(measured=i % 5 == 0))
    assert calls.count(Phase(measured=True)) == 4
    assert calls.count(Phase(measured=False)) == capture.PLAIN_STEPS + 1


def test_where_a_capture_fails_steps_go_on_plainly_and_the_log_says_why(recording, monkeypatch):
    @contextlib.contextmanager
    def fail(graph):
        yield
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(capture.torch.cuda, "graph", fail)
    take, calls = counted()
    for _ in range(6):
        take(Phase())
    assert len(calls) == 6 + 1
    (remark,) = take.pop_remarks()
    assert "run plainly" in remark and "not permitted" in remark
