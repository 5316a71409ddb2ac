"""Crops of clips: the same anywhere, what is drawn how often, its gain and its band."""

import time

import numpy as np
import pytest
import torch
from made_crops import ALL, CORPUS, FIXED_GAIN, NOISY, RATE, SCENE, crops, decibels, equal, levels, noise, rms

import tiny
from soundstream.errors import ConfigError
from soundstream.train.data.corpus import Corpus
from soundstream.train.data.crops import PEAK, DataConfig, clip_shares, filtered, low_pass


def level_shares(made, steps=1):
    """Share of crops by level; two places of 32768 are enough to tell levels of whole hundreds apart."""
    peaks = torch.cat([made.draw(step).audio.amax(dim=(1, 2)) for step in range(steps)])
    found, counts = (peaks * 32768).round().long().unique(return_counts=True)
    return dict(zip(found.tolist(), (counts / counts.sum()).tolist(), strict=True))


# the same batch anywhere


@pytest.mark.parametrize("settings", [{}, ALL], ids=["plain", "everything"])
def test_the_batch_of_a_step_is_always_the_same(settings):
    first, second = crops(SCENE, **settings), crops(SCENE, **settings)
    second.draw(0)
    assert equal(first.draw(3), second.draw(3))
    assert not equal(first.draw(3), first.draw(4))
    assert not equal(first.draw(3), crops(SCENE, seed=1, **settings).draw(3))


@pytest.mark.parametrize("config", tiny.CONFIGS, ids=lambda config: config.family)
@pytest.mark.parametrize("settings", [{}, ALL], ids=["plain", "everything"])
def test_shapes_are_those_of_the_settings(config, settings):
    batch = crops(SCENE, config=config, batch_size=3, crop_frames=7, **settings).draw(0)
    assert batch.audio.shape == batch.target.shape == (3, 1, 7 * config.hop_length)
    assert batch.condition.shape == (3, config.condition_dim, 7)
    assert {part.dtype for part in batch} == {torch.float32}


def test_one_setting_leaves_the_draws_of_the_others_alone():
    plain, loud = (crops(batch_size=32, gain_db=gain) for gain in ((0.0, 0.0), (-6.0, -6.0)))
    torch.testing.assert_close(plain.draw(0).audio * 10 ** (-6 / 20), loud.draw(0).audio)


@pytest.mark.parametrize(
    "changes",
    [{"noises": 3}, {"room_probability": 0.5}, {"noise_probability": 0.5, "noises": 2}],
    ids=str,
)
def test_further_noises_and_rooms_leave_other_crops_as_they_are(changes):
    """Noise is what several noises and rooms are of: without it nothing changes."""
    settings = {"batch_size": 32, "category_weights": {"speech": 0.0}, "mix_probability": 0.5}
    assert equal(crops(SCENE, **settings).draw(1), crops(SCENE, **settings, **changes).draw(1))


# a crop is a piece of a clip


def test_crops_equal_slices_of_their_clips():
    made = crops(batch_size=64, **FIXED_GAIN)
    plan = made._plan(np.random.default_rng([0, 5]))
    starts, left = made._places(plan)
    batch = made.draw(5).audio[:, 0]
    for row, clip, start, remaining in zip(batch, plan.clips[:, 0], starts[:, 0, 0], left[:, 0, 0], strict=True):
        pcm = CORPUS.read(CORPUS.clips[clip])
        offset = len(pcm) - int(remaining)
        assert int(start) - CORPUS.clips[clip].start == offset
        np.testing.assert_allclose(row, pcm[offset : offset + made.length] / 32768, rtol=0, atol=1e-7)


def test_every_place_of_a_clip_is_drawn_to_its_very_ends():
    ramp = Corpus.of(RATE, {"a.wav": np.arange(10_000, 10_000 + 52 * 40 + 3, dtype=np.int16)})
    first = crops(ramp, batch_size=64, **FIXED_GAIN).draw(0).audio[:, 0, 0] * 32768
    assert set(first.round().int().tolist()) == {10_000, 10_001, 10_002, 10_003}


@pytest.mark.parametrize("followed", [True, False], ids=["in the middle", "at the end"])
def test_a_short_clip_is_followed_by_silence(followed):
    corpus = levels(("a/short.wav", 100, 16_384), *([("b/next.wav", 5000, 999)] if followed else []))
    audio = crops(corpus, category_weights={"b": 0.0}, **FIXED_GAIN).draw(0).audio
    assert (audio[..., :100] == 0.5).all()
    assert (audio[..., 100:] == 0).all()


def test_silence_stays_silence():
    assert (crops(Corpus.of(RATE, {"a.wav": np.zeros(100, np.int16)})).draw(0).audio == 0).all()


def test_quiet_places_are_drawn_again_once():
    """Half of the places are silent: without a second draw half of the crops are, with it a quarter."""
    half = np.concatenate([np.zeros(20 * RATE, np.int16), noise(20, 0.1)])
    corpus = Corpus.of(RATE, {"speech/a.wav": half})
    made = {db: crops(corpus, batch_size=400, crop_frames=5, quiet_db=db) for db in (-np.inf, -60.0)}
    silent = {db: float((drawn.draw(0).audio.amax(dim=2) == 0).float().mean()) for db, drawn in made.items()}
    assert silent == pytest.approx({-np.inf: 0.5, -60.0: 0.25}, abs=0.06)


# what is drawn


def test_categories_come_by_weight_and_sources_of_a_category_alike():
    files = [(f"speech/a_{i}.wav", 3000, 1000) for i in range(20)]
    corpus = levels(
        *files, ("speech/b.wav", 3000, 2000), ("music/c.wav", 3000, 3000), ("other/d.wav", 9000, 4000)
    )  # fmt: skip
    weights = {"speech": 2.0, "music": 1.0, "absent": 5.0}
    shares = level_shares(crops(corpus, batch_size=4000, crop_frames=2, category_weights=weights, **FIXED_GAIN))
    assert shares == pytest.approx(dict.fromkeys((1000, 2000, 3000, 4000), 0.25), abs=0.03)


def test_files_of_a_source_come_by_their_length():
    corpus = levels(("speech/a_1.wav", 3000, 1000), ("speech/a_2.wav", 9000, 2000))
    shares = level_shares(crops(corpus, batch_size=4000, crop_frames=2, **FIXED_GAIN))
    assert shares == pytest.approx({1000: 0.25, 2000: 0.75}, abs=0.03)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"source_duration_exponent": 0.5}, [1 / 3, 2 / 3]),
        ({"source_duration_exponent": 1.0}, [0.2, 0.8]),
        ({"source_weights": {"a": 3.0, "absent": 9.0}}, [0.75, 0.25]),
        ({"source_weights": {"a": 0.0}}, [0.0, 1.0]),
    ],
)
def test_sources_may_weigh_by_duration_or_by_name(settings, expected):
    corpus = levels(("speech/a.wav", 2000, 1), ("speech/b.wav", 8000, 2))
    np.testing.assert_allclose(clip_shares(corpus, DataConfig(**settings)), expected)


def test_a_category_whose_sources_all_weigh_nothing_is_left_out():
    corpus = levels(("speech/a.wav", 2000, 1), ("music/b.wav", 8000, 2))
    np.testing.assert_allclose(clip_shares(corpus, DataConfig(source_weights={"a": 0.0})), [0, 1])


def test_data_whose_categories_all_weigh_nothing_is_an_error():
    with pytest.raises(ConfigError, match=r"give one of speech, music a weight"):
        crops(category_weights={"speech": 0.0, "music": 0.0})


# gain


def test_gains_fill_their_range_evenly():
    corpus = levels(("a.wav", 5000, 8192))
    found = decibels(crops(corpus, batch_size=2000, crop_frames=2, gain_db=(-12.0, 6.0)).draw(0).audio[:, 0, 0] / 0.25)
    assert found.min() == pytest.approx(-12, abs=0.1)
    assert found.max() == pytest.approx(6, abs=0.1)
    assert found.mean() == pytest.approx(-3, abs=0.3)


@pytest.mark.parametrize("settings", [{}, ALL], ids=["plain", "everything"])
def test_gain_never_brings_input_or_target_above_full_scale(settings):
    batch = crops(SCENE, batch_size=64, gain_db=(60.0, 60.0), **settings).draw(0)
    peaks = torch.stack([batch.audio.abs().amax(dim=(1, 2)), batch.target.abs().amax(dim=(1, 2))])
    torch.testing.assert_close(peaks.amax(dim=0), torch.full((64,), PEAK))


# band limit


def test_the_low_pass_keeps_what_is_below_its_cutoff_and_takes_what_is_above():
    time_s = torch.arange(RATE) / RATE
    tones = torch.stack([torch.sin(2 * torch.pi * hz * time_s) for hz in (500.0, 1000.0, 2000.0)])
    cutoff = torch.full((3,), 1000.0)
    change = decibels(rms(filtered(tones, low_pass(cutoff, RATE, RATE))) / rms(tones))
    np.testing.assert_allclose(change, [0.0, -3.01, -48.2], rtol=0, atol=0.1)
    torch.testing.assert_close(filtered(tones, low_pass(cutoff * torch.inf, RATE, RATE)), tones)


def test_input_and_target_lose_the_same_band():
    settings = {"band_limit_probability": 1.0, "band_limit_hz": (1000.0, 1000.0), "denoise_probability": 1.0}
    batch = crops(SCENE, **settings, **NOISY).draw(0)
    for audio in (batch.audio, batch.target):
        power = torch.fft.rfft(audio[:, 0]).abs().square()
        above = int(power.shape[-1] * 2000 / (RATE / 2))
        assert (power[:, above:].sum(-1) < 1e-4 * power.sum(-1)).all()


# settings


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 0},
        {"crop_frames": 0},
        {"noise_probability": 1.1},
        {"mix_probability": -0.1},
        {"gain_db": (6.0, -6.0)},
        {"band_limit_hz": (2.0, 1.0)},
        {"noises": 4},
        {"room_rt60_s": (0.0, 0.5)},
        {"room_direct_db": (3.0, 2.0)},
        {"category_weights": {"speech": -1.0}},
        {"source_weights": {"anna": float("nan")}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_setting_out_of_range_is_an_error_that_names_it(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        DataConfig(**changes)


@pytest.mark.parametrize("settings", [{}, ALL], ids=["plain", "everything"])
def test_a_batch_costs_little(settings):
    """A bound far above what it takes (a few ms of CPU), so that a loop over samples or files would show."""
    hours = {f"speech/{i}.wav": noise(1, 0.1, i) for i in range(500)}
    corpus = Corpus.of(RATE, hours | {"ambient/rain.wav": noise(3, 0.02)})
    made = crops(corpus, batch_size=8, crop_frames=100, **settings)
    made.draw(0)
    begin = time.process_time()
    for step in range(10):
        made.draw(step)
    assert (time.process_time() - begin) / 10 < 0.05
