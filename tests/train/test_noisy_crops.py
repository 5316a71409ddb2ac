"""Crops with noise, in rooms and in mixtures, and the denoise switch that goes with them."""

import dataclasses

import numpy as np
import pytest
import torch
from made_crops import FIXED_GAIN, NOISY, RATE, SCENE, crops, decibels, equal, levels, noise, rms

import tiny
from soundstream.errors import AudioError, ConfigError
from soundstream.train.data.corpus import Corpus

# noise and the denoise switch


def tuples(batch):
    """By crop: whether its target differs from its input, and whether its switch is on."""
    assert (batch.condition.sum(dim=1) == 1).all()
    assert (batch.condition == batch.condition[..., :1]).all()
    return (batch.audio != batch.target).any(dim=(1, 2)), batch.condition[:, 1, 0] == 1


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
def test_the_ratio_of_speech_to_noise_is_what_was_asked(snr_db):
    batch = crops(SCENE, batch_size=16, noise_snr_db=(snr_db, snr_db), denoise_probability=1.0, **NOISY).draw(0)
    found = decibels(rms(batch.target) / rms(batch.audio - batch.target))
    torch.testing.assert_close(found, torch.full_like(found, snr_db), rtol=0, atol=0.1)


def test_ratios_fill_their_range_evenly():
    batch = crops(SCENE, batch_size=1000, crop_frames=20, denoise_probability=1.0, **NOISY).draw(0)
    found = decibels(rms(batch.target) / rms(batch.audio - batch.target))
    assert found.min() == pytest.approx(-5, abs=0.3)
    assert found.max() == pytest.approx(20, abs=0.3)
    assert found.mean() == pytest.approx(7.5, abs=1)


def test_noise_is_added_to_that_share_of_the_speech_and_to_nothing_else():
    settings = {"batch_size": 2000, "crop_frames": 5, "denoise_probability": 1.0, "noise_probability": 0.3}
    for category, expected in {"speech": 0.3, "music": 0.0, "ambient": 0.0}.items():
        weights = dict.fromkeys(("speech", "music", "ambient"), 0.0) | {category: 1.0}
        differs, _ = tuples(crops(SCENE, category_weights=weights, **settings).draw(0))
        assert differs.float().mean() == pytest.approx(expected, abs=0.03)


def test_the_target_of_noisy_speech_is_clean_with_the_switch_on_and_noisy_with_it_off():
    settings = {"batch_size": 2000, "crop_frames": 5, "denoise_probability": 0.4, **NOISY}
    batch = crops(SCENE, **settings).draw(0)
    differs, on = tuples(batch)
    assert differs.equal(on)
    assert on.float().mean() == pytest.approx(0.4, abs=0.03)
    clean = crops(SCENE, **settings | {"noise_probability": 0.0}, **FIXED_GAIN).draw(0).audio
    similarity = torch.nn.functional.cosine_similarity(clean[:, 0], batch.target[:, 0])
    torch.testing.assert_close(similarity[on], torch.ones(int(on.sum())), rtol=0, atol=1e-4)
    assert (similarity[~on] < 1 - 1e-4).all()


@pytest.mark.parametrize(("category", "share"), [("speech", 0.4), ("music", 0.4), ("ambient", 0.0)])
def test_without_noise_the_switch_changes_nothing_and_ambient_sound_never_has_it_on(category, share):
    weights = dict.fromkeys(("speech", "music", "ambient"), 0.0) | {category: 1.0}
    made = crops(SCENE, batch_size=2000, crop_frames=5, denoise_probability=0.4, category_weights=weights)
    differs, on = tuples(made.draw(0))
    assert not differs.any()
    assert on.float().mean() == pytest.approx(share, abs=0.03)


def test_by_default_the_target_is_the_input_and_the_switch_is_off():
    differs, on = tuples(crops(SCENE, batch_size=200, crop_frames=5).draw(0))
    assert not differs.any()
    assert not on.any()


def test_noise_comes_from_ambient_sound_even_where_that_weighs_nothing():
    """The clips are constant, so that the noise is what the input has more."""
    corpus = levels(("speech/a.wav", 5000, 8000), ("ambient/b.wav", 5000, 100), ("music/c.wav", 5000, -100))
    batch = crops(corpus, denoise_probability=1.0, noise_snr_db=(20.0, 20.0), **NOISY, **FIXED_GAIN).draw(0)
    torch.testing.assert_close(batch.audio - batch.target, torch.full_like(batch.audio, 800 / 32768))


def test_silent_noise_and_silent_speech_stay_finite():
    silent = Corpus.of(RATE, {"speech/a.wav": np.zeros(5000, np.int16), "ambient/b.wav": noise(1, 0.1)})
    batch = crops(silent, denoise_probability=1.0, noise_snr_db=(0.0, 0.0), **NOISY, **FIXED_GAIN).draw(0)
    assert (batch.target == 0).all()
    torch.testing.assert_close(decibels(rms(batch.audio)), torch.full((4, 1), -60.0), rtol=0, atol=0.1)
    still = Corpus.of(RATE, {"speech/a.wav": noise(1, 0.1), "ambient/b.wav": np.zeros(5000, np.int16)})
    batch = crops(still, denoise_probability=1.0, **NOISY).draw(0)
    assert batch.audio.equal(batch.target)
    assert (rms(batch.audio) > 0).all()


SWITCHED = {"denoise_probability": 1.0, **NOISY}


def test_up_to_so_many_noises_come_together_and_their_level_is_still_what_was_asked():
    """Tones as noises: the spectrum of what is added says which are there; the levels of several add up as powers."""
    time_s = np.arange(4 * RATE) / RATE
    tones = {
        f"ambient/{hz}.wav": np.round(3000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)
        for hz in range(500, 4000, 500)
    }
    corpus = Corpus.of(RATE, {"speech/a.wav": noise(3, 0.05), **tones})
    batch = crops(
        corpus, batch_size=600, crop_frames=50, noises=3, noise_snr_db=(5.0, 5.0), **SWITCHED, **FIXED_GAIN
    ).draw(0)
    added = batch.audio - batch.target
    torch.testing.assert_close(decibels(rms(batch.target) / rms(added)).mean(), torch.tensor(5.0), rtol=0, atol=0.3)
    power = torch.fft.rfft(added[:, 0]).abs().square()
    heard = (power > 1e-3 * power.amax(dim=1, keepdim=True)).sum(dim=1)
    shares = {count: float((heard == count).float().mean()) for count in (1, 2, 3)}
    assert shares == pytest.approx({1: 1 / 3 + 1 / 21 + 1 / 147, 2: 2 / 7 + 6 / 49, 3: 10 / 49}, abs=0.07)


def noisy_parts(made, steps=24):
    """What was added to the speech of noisy crops, `[crops, samples]`."""
    batches = [made.draw(step) for step in range(steps)]
    return torch.cat([(batch.audio - batch.target)[:, 0] for batch in batches])


ADDED = {"category_weights": {"speech": 1.0, "music": 0.0, "ambient": 0.0}, "noise_probability": 1.0}
ADDED |= {"denoise_probability": 1.0} | FIXED_GAIN


def test_babble_is_other_speech():
    corpus = Corpus.of(RATE, {"speech/a.wav": noise(3, 0.05), "ambient/none.wav": np.zeros(3 * RATE, np.int16)})
    assert not noisy_parts(crops(corpus, **ADDED)).any()
    added = noisy_parts(crops(corpus, noises=3, babble_probability=0.5, **ADDED))
    assert 0.3 < (rms(added) > 1e-3).float().mean() < 0.7


def test_made_noise_takes_the_place_of_recorded_noise_at_the_level_asked():
    corpus = Corpus.of(RATE, {"speech/a.wav": noise(3, 0.05), "ambient/none.wav": np.zeros(3 * RATE, np.int16)})
    changes = ADDED | {"made_noise_probability": 1.0, "noise_snr_db": (10.0, 10.0)}
    made = crops(corpus, **changes)
    batch = made.draw(0)
    ratios = decibels(rms(batch.target[:, 0]) / rms((batch.audio - batch.target)[:, 0]))
    torch.testing.assert_close(ratios, torch.full_like(ratios, 10.0), atol=0.05, rtol=0)
    assert equal(made.draw(3), crops(corpus, **changes).draw(3))


def test_noise_that_is_made_leaves_speech_and_recorded_noise_where_they_were():
    few, none = (crops(SCENE, made_noise_probability=p, **ADDED).draw(0) for p in (0.5, 0.0))
    torch.testing.assert_close(few.target, none.target)
    same = (few.audio - none.audio).abs().amax((1, 2)) < 1e-6
    assert same.any() and not same.all()


def test_some_crops_are_tones_without_noise_and_the_others_stay():
    changes = ADDED | {"tone_probability": 0.5, "batch_size": 16}
    with_tones, without = crops(SCENE, **changes).draw(0), crops(SCENE, **(changes | {"tone_probability": 0.0})).draw(0)
    same = (with_tones.target - without.target).abs().amax((1, 2)) < 1e-6
    assert 4 <= same.sum() <= 12
    torch.testing.assert_close(with_tones.audio[~same], with_tones.target[~same])
    torch.testing.assert_close(with_tones.audio[~same].abs().amax((1, 2)), torch.full((int((~same).sum()),), 0.5))


def test_speech_in_a_room_is_so_in_its_target_too():
    settings = {"batch_size": 16, "crop_frames": 200, "noise_snr_db": (20.0, 20.0), **SWITCHED, **FIXED_GAIN}
    dry, wet = (crops(SCENE, room_probability=share, **settings).draw(0) for share in (0.0, 1.0))
    similarity = torch.nn.functional.cosine_similarity(dry.target[:, 0], wet.target[:, 0])
    assert (similarity < 0.99).all()
    assert (similarity > 0.3).all()
    found = decibels(rms(wet.target) / rms(wet.audio - wet.target))
    torch.testing.assert_close(found, torch.full_like(found, 20.0), rtol=0, atol=0.1)


def test_rooms_are_for_that_share_of_the_sounds_of_noisy_crops():
    settings = {"batch_size": 1000, "crop_frames": 10, **SWITCHED, **FIXED_GAIN}
    dry, some = (crops(SCENE, room_probability=share, **settings).draw(0) for share in (0.0, 0.3))
    assert (dry.target != some.target).any(dim=(1, 2)).float().mean() == pytest.approx(0.3, abs=0.04)
    settings["noise_probability"] = 0.0
    assert equal(*(crops(SCENE, room_probability=share, **settings).draw(0) for share in (0.0, 0.3)))


def test_the_switch_leaves_clean_sound_as_it_is_and_is_never_on_for_ambient_sound():
    settings = {"batch_size": 400, "crop_frames": 5, "denoise_probability": 0.8}
    for category, on in {"ambient": 0.0, "music": 0.8, "speech": 0.8}.items():
        weights = dict.fromkeys(("speech", "music", "ambient"), 0.0) | {category: 1.0}
        differs, switched = tuples(crops(SCENE, category_weights=weights, **settings).draw(0))
        assert not differs.any()
        assert switched.float().mean() == pytest.approx(on, abs=0.07)


@pytest.mark.parametrize("missing", ["speech", "ambient"])
def test_noise_without_speech_or_ambient_sound_is_an_error(missing):
    corpus = levels(*((f"{name}/a.wav", 5000, 1) for name in {"speech", "ambient"} - {missing}))
    with pytest.raises(AudioError, match=f"no category {missing}; add a folder of that name or {missing}=FOLDER"):
        crops(corpus, noise_probability=0.1)


def test_a_switch_that_the_codec_does_not_have_is_an_error():
    config = dataclasses.replace(tiny.CONFIG, condition_dim=1)
    assert (crops(config=config).draw(0).condition == 1).all()
    with pytest.raises(ConfigError, match="condition_dim"):
        crops(config=config, denoise_probability=0.1)


# mixtures


def test_mixtures_hold_two_sounds_at_the_level_asked_and_keep_the_switch_off():
    corpus = levels(("music/a.wav", 5000, 2000), ("music/b.wav", 5000, -2000))
    made = crops(
        corpus,
        batch_size=2000,
        crop_frames=2,
        mix_probability=0.6,
        mix_level_db=(6.0, 6.0),
        denoise_probability=1.0,
        **FIXED_GAIN,
    )
    batch = made.draw(0)
    assert batch.audio.equal(batch.target)
    found, counts = (batch.audio[:, 0, 0].abs() * 32768).round().int().unique(return_counts=True)
    quieter = 2000 * 10 ** (-6 / 20)
    assert found.tolist() == [round(2000 - quieter), 2000, round(2000 + quieter)]
    np.testing.assert_allclose(counts / 2000, [0.3, 0.4, 0.3], rtol=0, atol=0.03)
    _, on = tuples(batch)
    assert on.equal(batch.audio[:, 0, 0].abs() * 32768 == 2000)


def test_noisy_speech_is_never_a_mixture_too():
    only = crops(SCENE, mix_probability=1.0, denoise_probability=1.0, **NOISY).draw(0)
    assert equal(only, crops(SCENE, mix_probability=0.0, denoise_probability=1.0, **NOISY).draw(0))
