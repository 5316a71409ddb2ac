import itertools
from types import SimpleNamespace

import pytest

from soundstream.train import clock as module
from soundstream.train.clock import Clock


@pytest.fixture
def now(monkeypatch):
    """The time of both clocks, to be set."""
    time = SimpleNamespace(value=100.0)
    ticks = SimpleNamespace(monotonic=lambda: time.value, time=lambda: 1e9 + time.value)
    monkeypatch.setattr(module, "time", ticks)
    return time


def test_the_share_is_what_has_passed_of_the_limit(now):
    clock = Clock(50.0)
    shares = []
    for step, now.value in enumerate((100.0, 110.0, 149.0, 151.0)):
        clock.look(step)
        shares.append((clock.share, clock.is_over))
    assert shares == [(0, False), (0.2, False), (0.98, False), (1.02, True)]
    assert clock.elapsed_s == 0


def test_time_that_was_used_up_before_counts(now):
    clock = Clock(50.0, elapsed_s=40.0)
    clock.look(0)
    assert clock.share == 0.8 and clock.elapsed_s == 40


def test_the_pace_is_the_share_of_a_step(now):
    clock = Clock(100.0)
    for step, now.value in zip(itertools.count(0, 5), (100, 110, 120, 130), strict=False):
        clock.look(step)
    assert clock.pace == pytest.approx(0.02)


def test_without_a_limit_there_is_no_share_and_no_end(now):
    clock = Clock(0.0)
    now.value = 1e6
    clock.look(3)
    assert (clock.share, clock.pace, clock.is_over, clock.elapsed_s) == (0, 0, False, 0)


@pytest.mark.parametrize(("end", "share"), [(1e9 + 200, 0.1), (1e9 + 110, 1.0), (0.0, None)])
def test_the_end_can_be_moved(now, end, share):
    clock = Clock(50.0)
    now.value = 110.0
    clock.end_at(end)
    clock.look(1)
    assert clock.is_over if share is None else clock.share == pytest.approx(share)


def test_processes_agree_on_the_share(now):
    clock = Clock(50.0)
    now.value = 110.0
    clock.look(1, lambda share: share / 2)
    assert clock.share == pytest.approx(0.1)
