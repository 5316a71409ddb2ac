import json

import numpy as np
import pytest
import soundfile

import tiny
from soundstream.errors import AudioError, IncompleteAudio
from soundstream.train.data import corpus as module
from soundstream.train.data.corpus import Corpus, fixed_clips, load_corpus

RATE = tiny.CONFIG.sample_rate


def write(path, seconds=1.0, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tiny.clip(seconds, seed), RATE)


@pytest.fixture
def folder(tmp_path):
    """Three clips, two files that cannot be used, and three that are no audio."""
    root = tmp_path / "data"
    write(root / "speech/a.wav", seed=0)
    write(root / "speech/deep/b.flac", seed=1)
    (root / "music").mkdir()
    soundfile.write(root / "music/c.WAV", np.stack([tiny.clip(1.0, seed=2)] * 2, axis=1), 2 * RATE)
    soundfile.write(root / "music/empty.wav", np.zeros(0), RATE)
    (root / "music/broken.wav").write_bytes(b"RIFF and then nothing")
    (root / "music/notes.txt").write_text("not listed")
    (root / "music/LICENCE").write_text("free")
    (root / "music/._c.wav").write_text("left by a file manager")
    return root


def pieces(corpus):
    return {clip.path: corpus.read(clip) for clip in corpus.clips}


def same(a, b):
    assert (a.clips, a.sample_rate, a.refused, a.ignored) == (b.clips, b.sample_rate, b.refused, b.ignored)
    assert np.array_equal(a.pcm, b.pcm)


def refuse_to_decode(path, sample_rate):
    raise AssertionError(f"{path} was decoded though it is in the cache")


# files


def test_every_audio_file_is_decoded_to_int16_at_the_codecs_rate(folder):
    corpus = load_corpus(folder, RATE)
    assert corpus.sample_rate == RATE
    lengths = {"music/c.WAV": RATE // 2, "speech/a.wav": RATE, "speech/deep/b.flac": RATE}
    assert {path: len(pcm) for path, pcm in pieces(corpus).items()} == lengths
    assert corpus.pcm.dtype == np.int16
    np.testing.assert_allclose(pieces(corpus)["speech/a.wav"], tiny.clip(1.0, seed=0), rtol=0, atol=1)
    np.testing.assert_allclose(pieces(corpus)["speech/deep/b.flac"], tiny.clip(1.0, seed=1), rtol=0, atol=1)


def test_channels_are_averaged(tmp_path):
    left, right = tiny.clip(0.5, seed=0), tiny.clip(0.5, seed=1)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), RATE)
    np.testing.assert_allclose(load_corpus(tmp_path, RATE).pcm, (left / 2 + right / 2), rtol=0, atol=1)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_order_of_the_clips_is_that_of_their_names_whatever_the_threads(tmp_path, workers):
    for i in range(12):
        write(tmp_path / f"speech/{i:02}.wav", seconds=(12 - i) / 10, seed=i)
    corpus = load_corpus(tmp_path, RATE, workers=workers)
    assert [clip.path for clip in corpus.clips] == [f"speech/{i:02}.wav" for i in range(12)]
    for i, clip in enumerate(corpus.clips):
        np.testing.assert_allclose(corpus.read(clip), tiny.clip((12 - i) / 10, seed=i), rtol=0, atol=1)


def test_files_that_cannot_be_used_are_refused_with_their_reason(folder):
    refused = load_corpus(folder, RATE).refused
    assert set(refused) == {"music/broken.wav", "music/empty.wav"}
    assert "no samples" in refused["music/empty.wav"]
    assert "broken.wav" in refused["music/broken.wav"]


def test_a_file_that_was_cut_is_used_as_far_as_it_goes_and_it_is_said(tmp_path):
    write(tmp_path / "a.wav")
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[: 44 + RATE])
    with pytest.warns(IncompleteAudio, match=r"a\.wav: 0\.50 s are missing behind 0\.50 s"):
        corpus = load_corpus(tmp_path, RATE)
    assert len(corpus.pcm) == RATE // 2
    np.testing.assert_allclose(corpus.pcm, tiny.clip(1.0)[: RATE // 2], rtol=0, atol=1)


def test_files_that_are_no_audio_are_counted(folder):
    assert load_corpus(folder, RATE).ignored == {".txt": 1, "hidden": 1, "without suffix": 1}


def test_a_link_to_a_folder_is_followed_but_not_in_circles(tmp_path):
    write(tmp_path / "elsewhere/a.wav")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/speech").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/again").symlink_to(tmp_path / "data")
    assert [clip.path for clip in load_corpus(tmp_path / "data", RATE).clips] == ["speech/a.wav"]


def test_known_corpora_are_labelled_and_need_one_file_for_each_sound(tmp_path):
    names = [
        "LibriTTS/train-clean-100/103/1240/103_1240_000000.wav",
        "LibriTTS/train-clean-100/103/1241/103_1241_000000.wav",
        "VCTK/wav48_silence_trimmed/p225/p225_001_mic1.flac",
        "VCTK/wav48_silence_trimmed/p225/p225_001_mic2.flac",
        *(f"musdb18hq/train/song/{part}.wav" for part in ("bass", "drums", "mixture", "other", "vocals")),
        "FSD50K/FSD50K.dev_audio/10000.wav",
        "dns/noise_fullband/door_0.wav",
    ]
    for name in names:
        write(tmp_path / name, seconds=0.1)
    corpus = load_corpus(tmp_path, RATE)
    assert {(clip.category, clip.source) for clip in corpus.clips} == {
        *(("speech", "librispeech/103"), ("speech", "vctk/p225"), ("music", "musdb/song")),
        *(("ambient", "fsd50k/10000"), ("ambient", "dns/door")),
    }
    assert len(corpus.clips) == 6
    assert set(corpus.refused) == {names[3], *(name for name in names[4:9] if "mixture" not in name)}
    assert "refused musdb18hq/train/song/bass.wav and 3 more: its mixture.wav is used" in corpus.report()


# several folders


def test_several_folders_make_one_corpus_with_the_categories_given(tmp_path):
    write(tmp_path / "mine/speech/a.wav", seed=0)
    write(tmp_path / "voices/anna/b.wav", seed=1)
    write(tmp_path / "voices/anna/c.wav", seed=2)
    corpus = load_corpus([tmp_path / "mine", f"talk={tmp_path / 'voices'}"], RATE)
    assert [(clip.path, clip.category, clip.source) for clip in corpus.clips] == [
        ("mine/speech/a.wav", "speech", "a"),
        ("voices/anna/b.wav", "talk", "anna"),
        ("voices/anna/c.wav", "talk", "anna"),
    ]
    np.testing.assert_allclose(pieces(corpus)["voices/anna/c.wav"], tiny.clip(1.0, seed=2), rtol=0, atol=1)


def test_a_folder_whose_name_has_an_equals_sign_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a=b/speech/a.wav")
    assert load_corpus("a=b", RATE).clips[0].category == "speech"


def test_a_folder_in_another_is_an_error(folder):
    with pytest.raises(AudioError, match="name each data folder once"):
        load_corpus([folder, folder / "speech"], RATE)


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(AudioError, match="is not a folder"):
        load_corpus(f"speech={tmp_path / 'missing'}", RATE)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("files", [[], ["broken.wav"]], ids=["empty", "only broken"])
def test_a_folder_without_usable_audio_is_an_error(tmp_path, files, cached):
    (tmp_path / "data").mkdir()
    for name in files:
        (tmp_path / "data" / name).write_bytes(b"RIFF")
    for _ in range(2):
        with pytest.raises(AudioError, match="no usable audio"):
            load_corpus(tmp_path / "data", RATE, tmp_path / "cache.npy" if cached else None)


# report


def test_the_report_counts_files_sources_and_hours_and_names_the_refused():
    names = ("speech/a_1.wav", "speech/a_2.wav", "loose.wav")
    clips = Corpus.of(RATE, dict.fromkeys(names, np.zeros(18 * RATE, np.int16))).clips
    corpus = Corpus(RATE, np.zeros(54 * RATE, np.int16), clips, {"x.wav": "no samples"}, {".txt": 7})
    assert corpus.report().splitlines() == [
        "speech: 2 files of 1 sources, 0.01 h",
        "audio: 1 files of 1 sources, 0.01 h",
        "refused x.wav: no samples",
        "no audio: 7 files .txt",
    ]


def test_progress_counts_every_file(folder):
    calls = []
    load_corpus(folder, RATE, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 5) for i in range(1, 6)]


# cache


def test_the_cache_gives_the_same_corpus_without_decoding(folder, tmp_path, monkeypatch):
    first = load_corpus(folder, RATE, tmp_path / "cache/data.npy")
    same(first, load_corpus(folder, RATE))
    monkeypatch.setattr(module, "_decode", refuse_to_decode)
    again = load_corpus(folder, RATE, tmp_path / "cache/data.npy")
    same(again, first)
    assert isinstance(again.pcm, np.memmap)


def test_a_cache_of_the_first_release_is_read(folder, tmp_path, monkeypatch):
    """It was written by numpy.save, with the same index."""
    corpus = load_corpus(folder, RATE)
    listing = {
        name: [path.stat().st_size, path.stat().st_mtime_ns]
        for name in sorted([*pieces(corpus), *corpus.refused])
        for path in [folder / name]
    }
    lengths = {clip.path: clip.samples for clip in corpus.clips}
    index = {"sample_rate": RATE, "listing": listing, "lengths": lengths, "refused": corpus.refused}
    np.save(tmp_path / "old.npy", corpus.pcm)
    (tmp_path / "old.json").write_text(json.dumps(index))
    monkeypatch.setattr(module, "_decode", refuse_to_decode)
    same(load_corpus(folder, RATE, tmp_path / "old.npy"), corpus)


def change_size(folder):
    write(folder / "speech/a.wav", seconds=0.5, seed=5)


def change_content(folder):
    write(folder / "speech/a.wav", seed=5)


def add(folder):
    write(folder / "speech/new.wav", seconds=0.5, seed=5)


def remove(folder):
    (folder / "speech/a.wav").unlink()


@pytest.mark.parametrize("change", [change_size, change_content, add, remove])
def test_the_cache_is_not_used_after_a_change_of_the_files(folder, tmp_path, change):
    cache = tmp_path / "data.npy"
    before = load_corpus(folder, RATE, cache)
    kept = before.pcm.copy()
    change(folder)
    same(load_corpus(folder, RATE, cache), load_corpus(folder, RATE))
    assert np.array_equal(before.pcm, kept), "a run that maps the old cache lost its samples"


def test_the_cache_is_not_used_at_another_rate(folder, tmp_path):
    cache = tmp_path / "data.npy"
    load_corpus(folder, RATE, cache)
    same(load_corpus(folder, 2 * RATE, cache), load_corpus(folder, 2 * RATE))


def test_a_cache_that_was_not_finished_is_not_used(folder, tmp_path, monkeypatch):
    cache = tmp_path / "data.npy"
    load_corpus(folder, RATE, cache)
    add(folder)
    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        patch.setattr(module, "_decode", refuse_to_decode)
        load_corpus(folder, RATE, cache)
    (folder / "speech/new.wav").unlink()
    same(load_corpus(folder, RATE, cache), load_corpus(folder, RATE))


# validation


def test_validation_clips_are_the_middle_of_clips_of_each_category():
    corpus = Corpus.of(RATE, {f"{name}.wav": tiny.clip(2.5, i) for i, name in enumerate(("speech/a", "speech/b", "c"))})
    clips, categories = fixed_clips(corpus, seconds=2.0, per_category=2)
    assert clips.shape == (3, 1, 2 * RATE) and categories == ["speech", "speech", ""]
    middle = pieces(corpus)["speech/a.wav"][RATE // 4 : RATE // 4 + 2 * RATE]
    np.testing.assert_allclose(clips[0, 0], middle / 32768, rtol=0, atol=1e-6)


def test_clips_that_are_too_short_are_not_used_for_validation():
    corpus = Corpus.of(RATE, {"speech/a.wav": tiny.clip(1.0), "speech/b.wav": tiny.clip(2.5), "c.wav": tiny.clip(2.5)})
    assert len(fixed_clips(corpus, seconds=2.0, per_category=5).audio) == 2


def test_validation_without_a_clip_that_is_long_enough_is_an_error():
    with pytest.raises(AudioError, match="longer files"):
        fixed_clips(Corpus.of(RATE, {"a.wav": tiny.clip(1.0)}), seconds=2.0, per_category=5)
