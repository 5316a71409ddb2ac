import time

import numpy as np
import pytest
import soundfile

import tiny
from soundstream.errors import CodecError
from soundstream.train.data import corpus as corpus_module
from soundstream.train.data.arrivals import Arrivals
from soundstream.train.data.corpus import load_corpus

RATE = tiny.CONFIG.sample_rate


def write(folder, name, seed=0):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tiny.clip(1.0, seed), RATE)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two clips of speech and a file that is no audio."""
    write(tmp_path / "data", "speech/a.wav")
    write(tmp_path / "data", "speech/c.wav", seed=1)
    (tmp_path / "data" / "speech" / "broken.wav").write_bytes(b"RIFF")
    return tmp_path / "data"


@pytest.fixture(params=["in memory", "cached"])
def arrivals(request, folder, tmp_path):
    cache = tmp_path / "cache.npy" if request.param == "cached" else None
    return Arrivals(load_corpus(folder, RATE, cache), [str(folder)], cache)


def test_what_came_in_is_taken_up_as_if_it_had_been_there(arrivals, folder):
    write(folder, "speech/b.wav", seed=2)
    write(folder, "music/d.wav", seed=3)
    arrivals.look()
    assert arrivals.take() is None  # they may be on their way still
    arrivals.look()
    found, anew = arrivals.take(), load_corpus(folder, RATE)
    assert found.clips == anew.clips and found.refused == anew.refused
    assert np.array_equal(found.pcm, anew.pcm)
    arrivals.look()
    assert arrivals.take() is None


def test_a_file_that_came_while_the_others_were_decoded_is_new(folder):
    corpus = load_corpus(folder, RATE)
    write(folder, "speech/b.wav", seed=2)
    arrivals = Arrivals(corpus, [str(folder)])
    for _ in range(2):
        arrivals.look()
    assert arrivals.take().clips == load_corpus(folder, RATE).clips


def test_only_what_is_new_is_decoded(arrivals, folder, monkeypatch):
    decoded, decode = [], corpus_module._decode
    monkeypatch.setattr(corpus_module, "_decode", lambda path, rate: decoded.append(path.name) or decode(path, rate))
    write(folder, "speech/b.wav", seed=2)
    for _ in range(3):
        arrivals.look()
    write(folder, "speech/e.wav", seed=4)
    for _ in range(3):
        arrivals.look()
    assert decoded == ["b.wav", "e.wav"]
    assert len(arrivals.take().clips) == 4


def test_a_file_that_still_grows_waits(arrivals, folder):
    path = write(folder, "speech/b.wav", seed=2)
    whole = path.read_bytes()
    for size in (4000, 9000):
        path.write_bytes(whole[:size])
        arrivals.look()
        assert arrivals.take() is None
    path.write_bytes(whole)
    arrivals.look()
    arrivals.look()
    assert [clip.samples for clip in arrivals.take().clips if clip.path.endswith("b.wav")] == [RATE]


def test_a_file_that_was_replaced_is_decoded_again(arrivals, folder):
    soundfile.write(folder / "speech/a.wav", tiny.clip(0.5, seed=7), RATE)
    arrivals.look()
    arrivals.look()
    found = arrivals.take()
    assert [clip.samples for clip in found.clips if clip.path.endswith("a.wav")] == [RATE // 2]
    assert np.array_equal(found.pcm, load_corpus(folder, RATE).pcm)


def test_what_was_taken_up_is_in_the_cache_of_the_next_run(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache.npy"
    arrivals = Arrivals(load_corpus(folder, RATE, cache), [str(folder)], cache)
    before = arrivals.corpus.pcm.copy()
    write(folder, "speech/b.wav", seed=2)
    arrivals.look()
    start = arrivals.corpus
    arrivals.look()
    assert np.array_equal(start.pcm, before)  # a run that still trains on the old one
    monkeypatch.setattr(corpus_module, "_decode", None)
    assert len(load_corpus(folder, RATE, cache).clips) == 3


def test_a_thread_looks_and_stops_with_the_run(folder):
    with Arrivals(load_corpus(folder, RATE), [str(folder)], every_s=0.01) as arrivals:
        write(folder, "speech/b.wav", seed=2)
        deadline = time.monotonic() + 20
        while not (found := arrivals.take()) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(found.clips) == 3
    assert not arrivals._thread.is_alive()


def test_folders_that_are_gone_are_a_named_problem(folder, tmp_path):
    arrivals = Arrivals(load_corpus(folder, RATE), [str(folder)], every_s=0.01)
    folder.rename(tmp_path / "elsewhere")
    with arrivals:
        deadline = time.monotonic() + 20
        while not arrivals._problem and time.monotonic() < deadline:
            time.sleep(0.01)
    with pytest.raises(CodecError, match=r"looking for new data: .*data is not a folder"):
        arrivals.take()
