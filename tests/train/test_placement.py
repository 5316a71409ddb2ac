"""Scenes for codecs of several channels: what is where, what fewer channels have of it, and what is judged."""

import dataclasses

import numpy as np
import pytest
import torch

import tiny
from soundstream.errors import ConfigError
from soundstream.nn.families.encodec import Config as EncodecConfig
from soundstream.nn.families.vcnac import Config
from soundstream.train.config import TrainConfig
from soundstream.train.data.crops import Crops, DataConfig
from soundstream.train.data.placement import Placement, condition, downmixed, heard_of, in_mono, mono_condition, slots
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import choose_precision

CODEC = Config(sample_rate=8_000, encoder_channels=4, decoder_channels=4, strides=(2, 4, 5), latent_dim=8)
PAIR = EncodecConfig(
    sample_rate=8_000,
    channels=2,
    strides=(4, 5),
    lstm_layers=1,
    latent_dim=8,
    num_quantizers=2,
    codebook_size=16,
    audio_channels=2,
    segment_samples=2_080,
    overlap_samples=80,
)
BATCH, SAMPLES = 13, 4_000
SURROUND, STEREO, MONO = CODEC.layouts


@pytest.fixture(scope="module")
def scenes():
    return Placement(CODEC, BATCH).scenes(tiny.noise(BATCH, SAMPLES), np.random.default_rng(0))


def there(audio):
    """Which channels have sound."""
    return [tuple(channel.nonzero().flatten().tolist()) for channel in audio.abs().amax(-1) > 0]


def test_every_layout_and_what_is_decoded_of_it_come_in_turn():
    kinds = [(6, 6), (6, 2), (6, 1), (2, 2), (2, 1), (1, 1)]
    assert [(len(slot.sound), len(slot.decoded)) for slot in slots(CODEC, BATCH)] == [*kinds, *kinds, kinds[0]]
    told = condition(CODEC, slots(CODEC, 6), 3)
    assert told.argmax(1)[:, 0].tolist() == [0, 1, 2, 1, 2, 2] and (told.sum(1) == 1).all()


def test_channels_that_a_layout_lacks_are_silent(scenes):
    audio, target = scenes
    for slot, present, wanted in zip(slots(CODEC, BATCH), there(audio), there(target), strict=True):
        assert set(present) <= set(slot.sound) and set(wanted) <= set(slot.decoded)
    assert {channel for present in there(audio) for channel in present} == {*range(6)}


def test_what_is_decoded_is_the_scene_or_its_downmix(scenes):
    audio, target = scenes
    for example, slot in enumerate(slots(CODEC, BATCH)):
        scene = audio[example, list(slot.sound)]
        torch.testing.assert_close(target[example, list(slot.decoded)], downmixed(scene, len(slot.decoded)))
        assert target[example].abs().max() > 0.01
    left, right = downmixed(torch.eye(6), 2)
    np.testing.assert_allclose(left, [1, 0, 0.7071, 0, 0.7071, 0], atol=1e-4)
    torch.testing.assert_close(downmixed(torch.eye(6), 1)[0], (left + right) / 2)


def test_the_first_sound_keeps_its_power_between_two_neighbours():
    sounds = tiny.noise(BATCH, SAMPLES)
    sounds[1:] = 0
    audio, _ = Placement(CODEC, BATCH).scenes(sounds, np.random.default_rng(3))
    energy = audio[0].square().sum(-1)
    energy[3] = 0
    assert energy.sum() == pytest.approx(float(sounds[0].square().sum()), rel=1e-4) and (energy > 0).sum() == 2


def test_sounds_come_up_to_a_millisecond_later_in_one_of_two_channels():
    click = torch.zeros(BATCH, SAMPLES)
    click[:, 100] = 1
    audio, _ = Placement(CODEC, BATCH).scenes(click, np.random.default_rng(1))
    stereo = [i for i, slot in enumerate(slots(CODEC, BATCH)) if slot.sound == STEREO]
    places = audio[stereo][:, list(STEREO)].abs().amax((0, 1)).nonzero().flatten().tolist()
    assert min(places) == 100 and 100 < max(places) <= 108


def test_what_is_judged_begins_with_the_first_channel_of_every_example():
    heard = heard_of(slots(CODEC, 6))
    assert heard.example.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 3, 0, 0, 0, 0]
    audio = tiny.noise(6, 6, 7)
    assert heard.of(audio).shape == (13, 1, 7)
    torch.testing.assert_close(heard.of(audio)[4, 0], audio[4, MONO[0]])


def test_clips_of_validation_are_mono_where_that_is_a_layout():
    clips = tiny.noise(2, 1, 50)
    audio, channel = in_mono(clips, CODEC)
    assert there(audio) == [MONO, MONO] and channel == MONO[0]
    assert mono_condition(CODEC, 2, 4).argmax(1).unique().tolist() == [2]
    audio, channel = in_mono(clips, PAIR)
    assert there(audio) == [(0, 1), (0, 1)] and channel == 0 and mono_condition(PAIR, 2, 4) is None


def test_crops_are_scenes_that_stay_below_full_scale():
    data = DataConfig(batch_size=6, crop_frames=52, gain_db=(20.0, 20.0))
    batch = Crops(tiny.corpus(), data, CODEC).draw(0)
    assert batch.audio.shape == batch.target.shape == (6, 6, 2080) and batch.condition.shape == (6, 3, 52)
    peaks = torch.maximum(batch.audio.abs().amax((1, 2)), batch.target.abs().amax((1, 2)))
    torch.testing.assert_close(peaks, torch.full((6,), 0.99))
    again = Crops(tiny.corpus(), data, CODEC).draw(0)
    assert all(torch.equal(one, other) for one, other in zip(batch, again, strict=True))


def test_a_stereo_codec_of_segments_learns_too():
    run = dataclasses.replace(TrainConfig(), codec=PAIR, data=DataConfig(batch_size=2, crop_frames=104), ema_decay=0.0)
    run = dataclasses.replace(run, total_steps=9)
    made = Learner(run, Crops(tiny.corpus(), run.data, PAIR), choose_precision(torch.device("cpu"), "fp32"))
    before = made.model.decoder.last.weight.detach().clone()
    assert all(value.isfinite() for value in made.step().values())
    assert made.inputs.target.shape == (4, 1, 2080)
    assert ((made.model.decoder.last.weight - before).abs().amax((1, 2, 3)) > 0).all()


def test_what_cannot_be_placed_is_refused():
    with pytest.raises(ConfigError, match="batch_size is 5; expected at least 6"):
        Crops(tiny.corpus(), DataConfig(batch_size=5, crop_frames=52), CODEC)
    with pytest.raises(ConfigError, match="sounds cannot be placed in 3 channels"):
        slots(dataclasses.replace(PAIR, audio_channels=3), 4)
    with pytest.raises(ConfigError, match="cannot learn that"):
        Crops(tiny.corpus(), DataConfig(batch_size=6, crop_frames=52, denoise_probability=0.5), CODEC)
