"""Other places and other engines: fsspec, and Ray with a worker that is killed."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from soundstream import ConfigError, InputError, tokens
from soundstream.tokens.storage import storage
from tokens.conftest import sound, tree

fsspec = pytest.importorskip("fsspec", reason="fsspec is part of the extra scale")


def test_urls_of_data_and_tokens_give_the_same_bytes_as_paths(corpus, make, made, tmp_path):
    make(f"file://{corpus}", f"file://{tmp_path}/out", jobs=2)
    ours = tree(tmp_path / "out")
    assert ours.keys() == tree(made).keys()
    here, there = tokens.open(made), tokens.open(f"file://{tmp_path}/out")
    assert [one.source for one in there] == [f"file://{one.source}" for one in here]
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(there.codes(4, 3, 5), here.codes(4, 3, 5))
    assert make(f"file://{corpus}", f"file://{tmp_path}/out").made == 0


def test_manifests_and_sounds_behind_fsspec(make, tmp_path):
    files = fsspec.filesystem("memory")
    files.pipe("/speech/deep/a.wav", sound(tmp_path / "a.wav", 0.4).read_bytes())
    files.pipe("/speech/list.jsonl", b'{"path": "deep/a.wav", "start": 0.1}\n{"path": "memory://speech/deep/a.wav"}')
    make("memory://speech/list.jsonl", "memory://made")
    found = tokens.open("memory://made")
    assert [one.start_s for one in found] == [0.1, 0.0]
    make("memory://speech", tmp_path / "out")
    np.testing.assert_array_equal(tokens.open(tmp_path / "out")[0].codes, found[1].codes)
    with pytest.raises(InputError, match="cannot read memory://speech/nothing"):
        make("memory://speech/nothing", tmp_path / "other")
    with pytest.raises(ConfigError, match="cannot reach nosuch://a"):
        make("nosuch://a", tmp_path / "other")


def test_what_is_written_behind_fsspec_appears_when_it_is_whole():
    place = storage("memory://whole")
    place.make()
    with pytest.raises(RuntimeError), place.write("a") as file:
        file.write(b"half")
        raise RuntimeError
    assert place.names() == set() and not fsspec.filesystem("memory").find("/whole")
    with place.write("a") as file:
        file.write(b"whole")
    place.remove("b")
    assert place.names() == {"a"} and place.view("a")[1:3] == b"ho"


# Ray


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'soundstream-codec[scale]', 600 MB")
    pytest.importorskip("ray.data")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def _busy_workers():
    """Ray's processes on this machine that work on a shard."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(b"ray::") and b"Map" in words:
            yield int(place.name)


@pytest.mark.filterwarnings("default")
def test_ray_makes_the_same_bytes_even_when_a_worker_is_killed(ray, make, tmp_path):
    for i in range(12):
        sound(tmp_path / "data" / f"{i}.wav", 3, seed=i)
    make(tmp_path / "data", tmp_path / "one", shard_mb=0.1)
    killed = []

    def watch(progress):
        if progress.done_bytes and not killed and (busy := list(_busy_workers())):
            os.kill(busy[0], signal.SIGKILL)
            killed.append(busy[0])

    make(tmp_path / "data", tmp_path / "ray", shard_mb=0.1, engine="ray", jobs=2, watch=watch)
    assert killed
    assert tree(tmp_path / "ray") == tree(tmp_path / "one")
