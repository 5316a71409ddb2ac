"""A program that uses the package is checked against its types."""

from pathlib import Path

import pytest
from mypy import api

PROGRAM = """
from pathlib import Path

import numpy as np
import soundstream

pcm = np.zeros((2, 48_000), np.float32)
data = soundstream.encode(pcm, 48_000, bitrate=6000)
decoded, rate = soundstream.decode(data)
codes = soundstream.to_codes(pcm, rate, effort=2)
transfer = soundstream.encode_file(Path("talk.wav"), "talk.nac", vbr=True)
with soundstream.open_encoder(rate, channels=2) as encoder:
    packets = encoder.push(decoded)
reveal_type((data, rate, transfer.duration_s, packets, soundstream.info("talk.nac").tags, soundstream.load().threads))
"""
WRONG = {
    'soundstream.encode(pcm, 48_000, bitrate="high")': "arg-type",
    "soundstream.encode(pcm)": "call-arg",
    "soundstream.decode(data).shape": "attr-defined",
    "soundstream.encode_file('a.wav', loud=True)": "call-arg",
}


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """Give the complaints of mypy about a program."""
    folder = tmp_path_factory.mktemp("typed")

    def call(text):
        (folder / "program.py").write_text(text)
        said, errors, _ = api.run(["--strict", "--cache-dir", str(folder / "cache"), str(folder / "program.py")])
        assert not errors
        return [line for line in said.splitlines() if Path(line.split(":")[0]).name == "program.py"]

    return call


def test_ten_lines_of_a_user_have_types(check):
    (revealed,) = check(PROGRAM)
    assert "Any" not in revealed
    assert "tuple[bytes, int, float, list[bytes], dict[str, str], int]" in revealed.replace("builtins.", "")


def test_wrong_lines_are_found(check):
    said = check(PROGRAM + "\n".join(WRONG))
    kinds = [line.rpartition("[")[2].rstrip("]") for line in said if " error: " in line]
    assert kinds == list(WRONG.values())
