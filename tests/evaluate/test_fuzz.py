"""A brief run of the fuzzer, and that it would notice."""

import numpy as np

from soundstream.evaluate import fuzz as fuzzer


def test_damaged_files_give_named_errors_only():
    report = fuzzer.fuzz(400, seed=1)
    assert (report.files, report.failures) == (400, 0)
    assert report.refused > 300 and report.packets_saved > 100
    assert report.slowest_over_valid < 10 and report.memory_growth_mb < 64


def test_valid_files_are_taken_whole():
    target = fuzzer.Target()
    for data in target.files:
        assert target.read(data) and len(target.repair(data)) == fuzzer.PACKETS


def test_an_error_without_a_name_is_a_failure(monkeypatch):
    def broken(self, data):
        raise IndexError("no name")

    usual = fuzzer.Target.read
    calls = iter([usual] * 24 + [broken] * 3)
    monkeypatch.setattr(fuzzer.Target, "read", lambda self, data: next(calls)(self, data))
    assert fuzzer.fuzz(3).failures == 3


def test_the_same_seed_gives_the_same_damage():
    data = fuzzer.Target().files[0]
    first, second = (fuzzer.damage(data, np.random.default_rng(5)) for _ in range(2))
    assert first == second != data
