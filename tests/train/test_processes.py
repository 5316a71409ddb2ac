import json
import os
import subprocess
import sys

import pytest
import several_processes
import torch

import tiny
from soundstream.errors import ConfigError
from soundstream.nn import distributed
from soundstream.train.launch import check_batch

END_S = 600
"""A machine with much else to do may take minutes to start a process that imports PyTorch."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A folder with the runs of two processes, of one thread each."""
    folder = tmp_path_factory.mktemp("several")
    command = [sys.executable, several_processes.__file__, str(folder), tiny.CONFIG.family]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=END_S)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def two(pair):
    return pair / "by steps"


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The same run, of this process alone."""
    folder = tmp_path_factory.mktemp("single")
    with pytest.MonkeyPatch.context() as patch:
        for setting in several_processes.SETTINGS:
            patch.setattr(*setting)
        several_processes.train(folder, tiny.CONFIG.family)
    return folder


def states(folder, name):
    """Tensors by part and name, as a process left them."""
    return {
        f"{part}.{key}": value
        for part, state in torch.load(folder / f"{name}.pt").items()
        for key, value in state.items()
    }


def lines(folder):
    return [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]


def test_networks_and_codebooks_stay_identical_in_all_processes(two):
    a, b = states(two, "0-of-2"), states(two, "1-of-2")
    assert a.keys() == b.keys()
    assert {name for name in a if not torch.equal(a[name], b[name])} == set()


def test_two_processes_with_half_the_batch_equal_one_with_the_whole(one, two):
    a, b = states(one, "0-of-1"), states(two, "0-of-2")
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(b[name], a[name], rtol=1e-3, atol=1e-4 * float(a[name].abs().max()), msg=name)


def test_both_log_the_same_figures_and_one_process_writes(one, two):
    a, b = (([line for line in lines(folder) if "waveform" in line]) for folder in (one, two))
    assert [line["step"] for line in b] == [2, 4, 6]
    for x, y in zip(a, b, strict=True):
        timing = ("seconds", "steps_per_s")
        expected = {name: value for name, value in x.items() if name not in timing}
        assert {name: value for name, value in y.items() if name not in timing} == pytest.approx(expected, rel=1e-3)


def test_processes_with_a_time_limit_follow_one_clock(pair):
    folder = pair / "by clock"
    a, b = states(folder, "0-of-2"), states(folder, "1-of-2")
    assert {name for name in a if not torch.equal(a[name], b[name])} == set()
    found = [line for line in lines(folder) if "share" in line]
    assert len(found) > 2 and found[-1]["learning_rate"] < 0.5 * max(line["learning_rate"] for line in found)


def test_the_number_of_processes_is_said(two):
    assert "2 processes" in lines(two)[0]["event"]


def test_a_single_process_gets_back_what_it_gives():
    x = tiny.noise(3, 4)
    assert (distributed.count(), distributed.rank()) == (1, 0)
    assert torch.equal(distributed.total(x), x)
    assert torch.equal(distributed.mean(x), x)
    assert torch.equal(distributed.gather(x), x[None])


def test_a_batch_that_cannot_be_dealt_out_is_refused():
    check_batch(8, 4)
    with pytest.raises(ConfigError, match="batch_size is 8; expected a multiple of the 3 processes"):
        check_batch(8, 3)
