import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundstream.cli import app
from soundstream.codec import decode_file, encode_file

RATE = 44_100


@pytest.fixture
def talk(tmp_path, monkeypatch):
    """A third of a second in two channels, in the folder where commands run."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("talk.wav", np.random.default_rng(0).normal(0, 0.1, (15_001, 2)), RATE)
    return Path("talk.wav")


@pytest.fixture
def encode(tiny_artifact):
    def call(*paths, **options):
        return encode_file(*paths, **{"bitrate": 1500, "model": tiny_artifact} | options)

    return call


@pytest.fixture
def decode(tiny_artifact):
    def call(*paths, **options):
        return decode_file(*paths, **{"model": tiny_artifact} | options)

    return call


@pytest.fixture
def run(tiny_artifact, talk, capsysbinary):
    """Run a command here; gives what it wrote to stdout and said on stderr."""

    def call(*words):
        app([*words, "--model", str(tiny_artifact)], standalone_mode=False)
        captured = capsysbinary.readouterr()
        return captured.out, captured.err.decode()

    return call


@pytest.fixture
def stdin(monkeypatch):
    """Give a file as a pipe, which cannot seek, to what reads from stdin next."""
    opened = []

    def give(path):
        source, sink = os.pipe()
        os.set_blocking(sink, False)
        data = Path(path).read_bytes()
        assert os.write(sink, data) == len(data)
        os.close(sink)
        opened.append(os.fdopen(source))
        monkeypatch.setattr(sys, "stdin", opened[-1])

    yield give
    for pipe in opened:
        pipe.close()
