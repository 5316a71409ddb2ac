"""Calls between two programs, and what is measured of them."""

import json
import sys

import numpy as np
import pytest
import soundfile

from benchmarks import call
from benchmarks.call import RATE, Line
from soundstream.errors import CodecError

HOP = 320


@pytest.fixture
def talk(tmp_path):
    """A folder with a clip of a second and a half, 16 kHz."""
    folder = tmp_path / "speech"
    folder.mkdir()
    soundfile.write(folder / "talk.wav", np.random.default_rng(0).normal(0, 0.1, 24_000), 16_000)
    return folder / "talk.wav"


def test_a_call_gives_the_sound_and_the_counts(talk, tiny_artifact):
    heard, counts = call.call(talk, Line(0.2, bitrate=3000), str(tiny_artifact), seed=1)
    assert counts["lost"] > 5 and counts["undecodable"] == 0
    assert len(heard) == counts["expected"] * HOP == pytest.approx(1.5 * RATE, abs=6 * HOP)


def test_a_program_that_fails_is_told(talk, tiny_artifact):
    with pytest.raises(CodecError, match=r"send failed.*1001"):
        call.call(talk, Line(0, bitrate=1001), str(tiny_artifact), seed=0)


def test_the_report_has_a_row_for_each_line(talk, tiny_artifact, tmp_path, monkeypatch):
    monkeypatch.setattr(call, "LINES", (Line(0.1, bitrate=1500),))
    output = tmp_path / "call.json"
    monkeypatch.setattr(sys, "argv", ["call", str(talk.parent), "--model", str(tiny_artifact), "-o", str(output)])
    call.main()
    (row,) = json.loads(output.read_text())["rows"]
    assert (row["loss"], row["bitrate"], row["stoi"]["n"]) == (0.1, 1500, 1)
    assert 0 < row["lost"] < row["packets"] and row["stoi"]["mean"] < 1
