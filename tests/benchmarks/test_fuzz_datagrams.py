"""Hostile datagrams at a receiver, over real sockets."""

import json
import sys

import pytest

from benchmarks import fuzz_datagrams
from benchmarks.fuzz_datagrams import CALM, PER_PACKET, bombard


@pytest.mark.parametrize("forged", [False, True])
def test_a_stream_is_heard_beside_hostile_datagrams(codec, forged):
    report, counts = bombard(codec, 2000, forged)
    assert report.failures == 0
    assert report.hostile == 2000 and report.sent == 2 + 2000 // PER_PACKET + CALM
    assert counts.malformed > 500 and counts.foreign > 300
    assert report.heard_when_calm > 0.8 * CALM / 3
    assert report.samples > 0.8 * CALM * codec.spec.hop_length


def test_an_exception_in_the_receiver_is_a_failure(codec, monkeypatch):
    def fail(*words):
        raise ZeroDivisionError

    monkeypatch.setattr("soundstream.live.network.udp.decode", fail)
    assert bombard(codec, 400, False)[0].failures == 1


def test_the_report_says_what_was_sent(tiny_artifact, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fuzz_datagrams, "CALM", 30)
    output = tmp_path / "report.json"
    words = ["udp_fuzz", "--datagrams", "1000", "--model", str(tiny_artifact), "-o", str(output)]
    monkeypatch.setattr(sys, "argv", words)
    fuzz_datagrams.main()
    found = json.loads(output.read_text())
    assert json.loads(capsys.readouterr().out) == found
    assert [run["by"] for run in found["runs"]] == ["strangers", "forger"]
    assert [run["hostile"] for run in found["runs"]] == [800, 400]
