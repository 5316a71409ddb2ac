"""A corpus of short sounds, and what `tokenize` makes of it."""

import json

import numpy as np
import pytest
import soundfile

from soundstream import tokens
from soundstream.runtime.options import EncodeOptions


def sound(path, seconds=0.2, seed=0, channels=1, rate=24_000):
    """Write noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, (int(seconds * rate), channels)), rate)
    return path


def tree(folder):
    """Bytes of all files of a folder, hidden ones too, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Twelve sounds, one of them stereo, one at another rate, one of no samples; a damaged file and an empty one."""
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(9):
        sound(folder / f"speaker{i % 2}" / f"{i}.wav", 0.1 + 0.05 * i, seed=i)
    sound(folder / "stereo.flac", 0.3, seed=20, channels=2, rate=44_100)
    sound(folder / "slow.wav", 0.3, seed=21, rate=16_000)
    sound(folder / "none.wav", 0)
    (folder / "damaged.flac").write_bytes((folder / "stereo.flac").read_bytes()[:5000])
    (folder / "empty.wav").touch()
    (folder / "notes.txt").write_text("no sound")
    return folder


@pytest.fixture(scope="session")
def make(tiny_artifact):
    """Tokenize with the small model, in several shards: `make(data, out, ...)`."""

    def call(data, out, bitrate=1500, **words):
        words = {"model": tiny_artifact, "jobs": 1, "shard_mb": 0.02, **words}
        return tokens.tokenize([data], out, EncodeOptions(bitrate), **words)

    return call


@pytest.fixture(scope="session")
def made(corpus, make, tmp_path_factory):
    """The folder of the corpus's tokens, not to be changed."""
    out = tmp_path_factory.mktemp("made") / "tokens"
    make(corpus, out)
    return out


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest: `manifest(entry, "a broken line", ...)`."""

    def write(*lines):
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (tmp_path / "manifest.jsonl").write_text(text)
        return tmp_path / "manifest.jsonl"

    return write
