import json
import sys

import numpy as np
import pytest
import soundfile

from benchmarks import packet_loss
from benchmarks.packet_loss import NETWORKS, Network, Opus, Own
from soundstream.evaluate import tables
from soundstream.evaluate.codecs.opus import CallOpus
from soundstream.evaluate.speed import calls
from soundstream.evaluate.speed.bench import speech_like
from soundstream.evaluate.speed.calls import count_calls

RATE = 24_000
RATE_OF_ALL = 1500
"""Bit/s of the tiny codec."""


@pytest.fixture(scope="module")
def pcm():
    return speech_like(3, RATE)[0]


def test_opus_decodes_what_came_and_conceals_the_rest(pcm):
    opus = CallOpus(16_000)
    packets = opus.packets(pcm[None], RATE)
    lost = np.arange(len(packets)) % 5 == 3
    whole, concealed = opus.decode(packets, lost & False), opus.decode(packets, lost)
    assert whole.shape == concealed.shape == (960 * len(packets),)
    assert not np.array_equal(whole, concealed)
    assert np.square(concealed[3 * 960 : 4 * 960]).mean() > 0


def test_redundancy_of_opus_brings_lost_packets_back(pcm):
    plain, redundant = CallOpus(24_000), CallOpus(24_000, 20)
    errors = []
    for opus in (plain, redundant):
        packets = opus.packets(pcm[None], RATE)
        lost = np.arange(len(packets)) % 5 == 3
        errors.append(np.square(opus.decode(packets, lost) - opus.decode(packets, lost & False)).mean())
    assert errors[1] < 0.5 * errors[0]


def test_redundancy_of_opus_is_of_no_use_where_the_next_packet_is_lost_as_well(pcm):
    opus = CallOpus(24_000, 20)
    packets = opus.packets(pcm[None], RATE)
    pairs = np.isin(np.arange(len(packets)) % 9, (4, 5))
    slots = [*opus._slots(packets, pairs)]
    assert [slots[i] for i in (3, 4, 5)] == [(packets[3], False), (None, False), (packets[6], True)]


def test_own_sessions_bring_lost_packets_back_by_copies(codec, pcm):
    system = Own(codec, RATE_OF_ALL, redundancy=codec.spec.quantizers_for(RATE_OF_ALL))
    packets = system.packets(pcm, RATE, 0.3)
    lost = np.arange(len(packets)) % 3 == 1
    lost[-1] = False
    np.testing.assert_array_equal(system.decode(packets, lost, RATE), system.decode(packets, lost & False, RATE))
    alone = Own(codec, RATE_OF_ALL)
    packets = alone.packets(pcm, RATE, 0.3)
    assert not np.array_equal(alone.decode(packets, lost, RATE), alone.decode(packets, lost & False, RATE))


def test_bursts_last_as_long_whatever_the_packets():
    assert Network("bursts", 0.2).loss(0.02).mean_burst == pytest.approx(3)
    assert Network("bursts", 0.2).loss(0.01).mean_burst == pytest.approx(6)


def test_a_report_has_every_system_over_every_network(tiny_artifact, pcm, tmp_path, monkeypatch, capsys):
    (tmp_path / "speech").mkdir()
    soundfile.write(tmp_path / "speech" / "a.wav", pcm[: RATE * 2], RATE)
    monkeypatch.setattr(packet_loss, "METRICS", ("log-mel",))
    monkeypatch.setattr(
        packet_loss, "systems", lambda codec: {"own": Own(codec, RATE_OF_ALL), "opus": Opus(16_000, True)}
    )
    output, picture = tmp_path / "loss.json", tmp_path / "loss.png"
    words = [str(tmp_path / "speech"), "--model", str(tiny_artifact), "-o", str(output), "--picture", str(picture)]
    monkeypatch.setattr(sys, "argv", ["loss", *words])
    packet_loss.main()
    report = json.loads(output.read_text())
    found = {(row["system"], row["losses"], row["rate"]): row["means"] for row in report["rows"]}
    assert found.keys() == {(name, *network) for name in ("own", "opus") for network in NETWORKS}
    assert found["own", "random", 0.0]["lost"]["mean"] == 0 < found["own", "random", 0.3]["lost"]["mean"] < 0.6
    assert found["opus", "random", 0.3]["log-mel"]["mean"] > found["opus", "random", 0.0]["log-mel"]["mean"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    table = tables.fill("<!-- table: loss log-mel -->\n<!-- end -->", {"loss": report})
    assert "| losses | lost | own | opus |" in table and "| bursts | 30% |" in table


def test_calls_that_keep_up_are_counted(codec, monkeypatch):
    monkeypatch.setattr(calls, "ROUNDS", 10)
    monkeypatch.setattr(calls, "_round_ms", rounds_of(2.5, calls._round_ms))
    found = count_calls("tiny", codec, speech_like(1, RATE), RATE_OF_ALL)
    assert (found.sessions, found.round_ms) == (5, 12.5) and found.hop_ms == pytest.approx(13.33)


def rounds_of(hop_ms, run):
    """Takes the place of measured rounds: every session takes this long; they run all the same."""

    def measured(codec, pcm, bitrate, sessions):
        assert len(run(codec, pcm, bitrate, sessions)) == calls.ROUNDS
        return np.full(calls.ROUNDS, hop_ms * sessions)

    return measured


def test_a_codec_that_is_too_slow_carries_none(codec, monkeypatch):
    monkeypatch.setattr(calls, "_round_ms", lambda *_: np.full(100, 1e6))
    assert count_calls("tiny", codec, speech_like(1, RATE), RATE_OF_ALL).sessions == 0
