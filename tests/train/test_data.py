import dataclasses

import numpy as np
import pytest
import soundfile

import tiny
from soundstream.errors import AudioError
from soundstream.train import data
from soundstream.train.data import PEAK, Corpus, Crops, fixed_clips, load_corpus

RATE = tiny.CONFIG.sample_rate


@pytest.fixture
def folder(tmp_path):
    """Three clips, two files that cannot be used, and one that is no audio."""
    for name in ("speech/deep", "music"):
        (tmp_path / "data" / name).mkdir(parents=True)
    root = tmp_path / "data"
    soundfile.write(root / "speech/a.wav", tiny.clip(1.0, seed=0), RATE)
    soundfile.write(root / "speech/deep/b.flac", tiny.clip(1.0, seed=1), RATE)
    soundfile.write(root / "music/c.WAV", np.stack([tiny.clip(1.0, seed=2)] * 2, axis=1), 2 * RATE)
    soundfile.write(root / "music/empty.wav", np.zeros(0), RATE)
    (root / "music/broken.wav").write_bytes(b"RIFF and then nothing")
    (root / "music/notes.txt").write_text("not listed")
    return root


def same(a, b):
    assert a.clips.keys() == b.clips.keys()
    assert all(np.array_equal(a.clips[name], b.clips[name]) for name in a.clips)
    assert (a.sample_rate, a.refused) == (b.sample_rate, b.refused)


def refuse_to_decode(path, sample_rate):
    raise AssertionError(f"{path} was decoded though it is in the cache")


# corpus


def test_every_audio_file_is_decoded_to_int16_at_the_codecs_rate(folder):
    corpus = load_corpus(folder, RATE)
    assert corpus.sample_rate == RATE
    assert {name: len(pcm) for name, pcm in corpus.clips.items()} == {
        "music/c.WAV": RATE // 2,
        "speech/a.wav": RATE,
        "speech/deep/b.flac": RATE,
    }
    assert all(pcm.dtype == np.int16 for pcm in corpus.clips.values())
    np.testing.assert_allclose(corpus.clips["speech/a.wav"], tiny.clip(1.0, seed=0), rtol=0, atol=1)


def test_channels_are_averaged(tmp_path):
    left, right = tiny.clip(0.5, seed=0), tiny.clip(0.5, seed=1)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), RATE)
    corpus = load_corpus(tmp_path, RATE)
    np.testing.assert_allclose(corpus.clips["a.wav"], (left / 2 + right / 2), rtol=0, atol=1)


def test_files_that_cannot_be_used_are_refused_with_their_reason(folder):
    refused = load_corpus(folder, RATE).refused
    assert set(refused) == {"music/broken.wav", "music/empty.wav"}
    assert "no samples" in refused["music/empty.wav"]
    assert refused["music/broken.wav"]


def test_the_first_folder_is_the_category(folder):
    assert load_corpus(folder, RATE).categories() == {
        "music": ["music/c.WAV"],
        "speech": ["speech/a.wav", "speech/deep/b.flac"],
    }


def test_the_report_counts_hours_and_names_the_refused():
    corpus = Corpus(RATE, {"speech/a.wav": np.zeros(36 * RATE, np.int16)}, {"x.wav": "no samples"})
    assert corpus.report() == "speech: 1 files, 0.01 h\nrefused x.wav: no samples"


def test_progress_counts_every_file(folder):
    calls = []
    load_corpus(folder, RATE, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 5) for i in range(1, 6)]


@pytest.mark.parametrize("files", [[], ["broken.wav"]], ids=["empty", "only broken"])
def test_a_folder_without_usable_audio_is_an_error(tmp_path, files):
    for name in files:
        (tmp_path / name).write_bytes(b"RIFF")
    with pytest.raises(AudioError, match="no usable audio"):
        load_corpus(tmp_path, RATE)


# cache


def test_the_cache_gives_the_same_corpus_without_decoding(folder, tmp_path, monkeypatch):
    first = load_corpus(folder, RATE, tmp_path / "cache/data.npy")
    monkeypatch.setattr(data, "_decode", refuse_to_decode)
    same(load_corpus(folder, RATE, tmp_path / "cache/data.npy"), first)


def change_size(folder):
    soundfile.write(folder / "speech/a.wav", tiny.clip(0.5, seed=5), RATE)


def change_content(folder):
    soundfile.write(folder / "speech/a.wav", tiny.clip(1.0, seed=5), RATE)


def add(folder):
    soundfile.write(folder / "speech/new.wav", tiny.clip(0.5, seed=5), RATE)


def remove(folder):
    (folder / "speech/a.wav").unlink()


@pytest.mark.parametrize("change", [change_size, change_content, add, remove])
def test_the_cache_is_not_used_after_a_change_of_the_files(folder, tmp_path, change):
    cache = tmp_path / "data.npy"
    load_corpus(folder, RATE, cache)
    change(folder)
    same(load_corpus(folder, RATE, cache), load_corpus(folder, RATE))


def test_the_cache_is_not_used_at_another_rate(folder, tmp_path):
    cache = tmp_path / "data.npy"
    load_corpus(folder, RATE, cache)
    same(load_corpus(folder, 2 * RATE, cache), load_corpus(folder, 2 * RATE))


# crops


def test_crops_of_a_step_are_always_the_same():
    first, second = (Crops(tiny.corpus(), tiny.RUN) for _ in range(2))
    second.draw(0)
    assert first.draw(3).equal(second.draw(3))
    assert first.draw(3).shape == (2, 1, 52 * tiny.CONFIG.hop_length)


def test_another_step_or_seed_gives_other_crops():
    crops = Crops(tiny.corpus(), tiny.RUN)
    assert not crops.draw(3).equal(crops.draw(4))
    assert not crops.draw(3).equal(Crops(tiny.corpus(), dataclasses.replace(tiny.RUN, seed=1)).draw(3))


def test_a_crop_is_a_scaled_piece_of_its_clip():
    config = dataclasses.replace(tiny.RUN, gain_db=(-6.0, -6.0), batch_size=4)
    ramp = np.arange(1, 10_001, dtype=np.int16)
    for crop in Crops(Corpus(RATE, {"a.wav": ramp}), config).draw(0)[:, 0].numpy():
        np.testing.assert_allclose(np.diff(crop) * 32768, 10 ** (-6 / 20), rtol=1e-2)


def test_a_short_clip_is_followed_by_silence():
    config = dataclasses.replace(tiny.RUN, gain_db=(0.0, 0.0))
    crops = Crops(Corpus(RATE, {"a.wav": np.full(100, 16_384, np.int16)}), config).draw(0)
    assert (crops[..., :100] == 0.5).all()
    assert (crops[..., 100:] == 0).all()


def test_gain_never_brings_a_crop_above_full_scale():
    config = dataclasses.replace(tiny.RUN, gain_db=(40.0, 40.0))
    for step in range(5):
        assert Crops(tiny.corpus(), config).draw(step).abs().amax(dim=2).max() == pytest.approx(PEAK, rel=1e-5)


def test_silence_stays_silence():
    assert (Crops(Corpus(RATE, {"a.wav": np.zeros(100, np.int16)}), tiny.RUN).draw(0) == 0).all()


def test_categories_come_by_weight_and_files_of_a_category_alike():
    levels = {"speech/a.wav": 1000, "speech/b.wav": 2000, "music/c.wav": 3000, "other/d.wav": 4000}
    clips = {name: np.full(100 * (i + 1), level, np.int16) for i, (name, level) in enumerate(levels.items())}
    weights = {"speech": 2.0, "music": 1.0, "absent": 5.0}
    config = dataclasses.replace(tiny.RUN, category_weights=weights, gain_db=(0.0, 0.0), batch_size=2000)
    peaks = (Crops(Corpus(RATE, clips), config).draw(0).amax(dim=(1, 2)) * 32768).round().long()
    shares = {name: float((peaks == level).float().mean()) for name, level in levels.items()}
    expected = {"speech/a.wav": 0.25, "speech/b.wav": 0.25, "music/c.wav": 0.25, "other/d.wav": 0.25}
    assert shares == pytest.approx(expected, abs=0.04)


def test_validation_clips_are_the_middle_of_clips_of_each_category():
    corpus = tiny.corpus(seconds=2.5)
    clips = fixed_clips(corpus, seconds=2.0, per_category=2)
    assert clips.shape == (3, 1, 2 * RATE)
    middle = corpus.clips["speech/a.wav"][RATE // 4 : RATE // 4 + 2 * RATE]
    np.testing.assert_allclose(clips[0, 0], middle / 32768, rtol=0, atol=1e-6)


def test_clips_that_are_too_short_are_not_used_for_validation():
    corpus = tiny.corpus(seconds=2.5)
    corpus.clips["speech/a.wav"] = tiny.clip(1.0)
    assert len(fixed_clips(corpus, seconds=2.0, per_category=5)) == 2


def test_validation_without_a_clip_that_is_long_enough_is_an_error():
    with pytest.raises(AudioError):
        fixed_clips(tiny.corpus(seconds=1.0), seconds=2.0, per_category=5)
