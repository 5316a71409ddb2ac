import json
import sys

import pytest

from benchmarks import long_call

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_memory_stays_as_it_is(tiny_artifact, tmp_path, monkeypatch):
    output = tmp_path / "report.json"
    words = ["--minutes", "3", "--model", str(tiny_artifact), "-o", str(output)]
    monkeypatch.setattr(sys, "argv", ["long_call", *words])
    monkeypatch.setattr(long_call, "MINUTE_S", 4)
    monkeypatch.setattr(long_call.Codec, "open_encoder", _at_a_rate_it_has(long_call.Codec.open_encoder))
    long_call.main()
    figures = json.loads(output.read_text())
    assert [row["minutes"] for row in figures["rows"]] == [1, 2, 3]
    assert figures["last_mb"] - figures["first_mb"] < 2
    assert figures["last_mb"] == figures["rows"][-1]["memory_mb"] > 10


def _at_a_rate_it_has(open_encoder):
    return lambda codec, sample_rate, **options: open_encoder(codec, sample_rate, bitrate=1500, **options)
