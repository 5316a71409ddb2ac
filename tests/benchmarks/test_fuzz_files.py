"""A brief run of the fuzzer, and that it would notice."""

import zlib

import numpy as np
import pytest

from benchmarks import damage
from benchmarks import fuzz_files as fuzzer


def test_damaged_files_give_named_errors_only():
    report = fuzzer.fuzz(400, seed=1)
    assert (report.files, report.systematic, report.failures) == (400, 200, 0)
    assert report.refused > 300 and report.packets_saved > 100
    assert report.slowest_over_valid < 10 and report.memory_growth_mb < 64


def test_valid_files_are_taken_whole():
    target = fuzzer.Target()
    for data in target.files:
        assert target.read(data) and len(target.repair(data)) == fuzzer.PACKETS


def test_an_error_without_a_name_is_a_failure(monkeypatch):
    def broken(self, data):
        raise IndexError("no name")

    monkeypatch.setattr(fuzzer, "_min_ms", lambda target, data: 1.0)
    monkeypatch.setattr(fuzzer.Target, "read", broken)
    assert fuzzer.fuzz(3).failures == 3


def test_a_run_that_is_ended_leaves_what_it_found(monkeypatch):
    monkeypatch.setattr(fuzzer, "NOTED", 3)
    seen = []
    report = fuzzer.fuzz(7, note=lambda report: seen.append((report.files, report.refused + report.accepted)))
    assert seen == [(3, 3), (6, 6), (7, 7)] and report.seconds > 0


def test_a_slow_file_is_reported(monkeypatch):
    def slow(self, data):
        return sum(range(1_000_000)) < 0

    usual = fuzzer.Target.read
    monkeypatch.setattr(fuzzer.Target, "read", lambda self, data: (usual if data in self.files else slow)(self, data))
    report = fuzzer.fuzz(4)
    assert report.slowest_ms > 1 and report.slowest_over_valid > 1


def test_the_same_seed_gives_the_same_damage():
    data = fuzzer.Target().files[0]
    first, second = (damage.random(data, np.random.default_rng(5)) for _ in range(2))
    assert first == second != data


@pytest.fixture(scope="module")
def small():
    return fuzzer.Target().files[0]


def test_systematic_damage_cuts_flips_and_moves_everything(small):
    found = set(damage.systematic(small))
    assert found >= {small[:length] for length in range(len(small))}
    assert len([body for body in found if len(body) == len(small)]) > 8 * len(small)
    packet = (len(small) - 44 - 7 - 22) // fuzzer.PACKETS
    head, body, end = small[:-22][: -fuzzer.PACKETS * packet], small[len(small) - 22 - 4 * packet : -22], small[-22:]
    packets = [body[i * packet : (i + 1) * packet] for i in range(4)]
    for order in ([1, 0, 2, 3], [3, 2, 1, 0], [0, 0, 1, 2, 3], [0, 1, 3]):
        assert b"".join([head, *(packets[i] for i in order), end]) in found


def test_mended_files_reach_the_fields_behind_the_checksums(small):
    body = bytearray(small)
    length = int.from_bytes(body[5:7], "little")
    body[9] ^= 1
    body[length + 4] ^= 1
    body[-10] ^= 1
    mended = damage.mended(body)
    size = 12 + int.from_bytes(mended[length + 6 : length + 8], "little")
    for part in (mended[:length], mended[length : length + size], mended[-22:]):
        assert int.from_bytes(part[-4:], "little") == zlib.crc32(part[:-4])
    assert damage.mended(bytearray(small)) == small
