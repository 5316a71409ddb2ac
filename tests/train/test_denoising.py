import dataclasses
import math

import pytest
import torch

import tiny
from soundstream.errors import ConfigError
from soundstream.nn.model import plain_condition
from soundstream.train.data.corpus import Corpus
from soundstream.train.data.crops import Batch, Crops
from soundstream.train.loop import Trainer
from soundstream.train.steps.denoising import DenoiseLearner, distances, noise_left_db, spectral_distances
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import choose_precision

NAMES = ("speech/a.wav", "speech/b.wav", "ambient/c.wav", "music/d.wav")
CORPUS = Corpus.of(tiny.CONFIG.sample_rate, {name: tiny.clip(2.5, seed) for seed, name in enumerate(NAMES)})
DATA = dataclasses.replace(tiny.RUN.data, noise_probability=1.0, denoise_probability=1.0)
RUN = dataclasses.replace(
    tiny.RUN,
    stage="denoise",
    codec=tiny.SPECTRAL,
    data=DATA,
    total_steps=60,
    adversarial_from_step=100,
    optimizer=dataclasses.replace(tiny.RUN.optimizer, learning_rate=1e-2),
)
FP32 = choose_precision(torch.device("cpu"), "fp32")


def learner(kind=DenoiseLearner, **changes):
    config = dataclasses.replace(RUN, **changes)
    return kind(config, Crops(CORPUS, config.data, config.codec, config.seed), FP32)


def batch(denoise=True):
    audio, target = tiny.noise(2, 1, 400), tiny.noise(2, 1, 400, seed=1)
    plain = plain_condition(tiny.SPECTRAL, 2, 10)
    return Batch(audio, target, plain.flip(1) if denoise else plain)


@torch.no_grad()
def test_a_distance_is_from_the_latents_of_the_target_coded_plainly():
    model, pair = tiny.model(config=tiny.SPECTRAL), batch()
    expected = (model.encode(pair.audio, pair.condition) - model.encode(pair.target)).square().sum(1).mean(-1)
    torch.testing.assert_close(distances(model, pair), expected)
    assert torch.equal(distances(model, pair, switch=False), distances(model, batch(denoise=False)))


@torch.no_grad()
def test_what_is_left_is_the_distance_with_the_switch_on_over_that_without():
    model, pair = tiny.model(config=tiny.SPECTRAL), batch()
    off, on = (float(distances(model, pair, switch).sum()) for switch in (False, True))
    assert noise_left_db(model, pair) == pytest.approx(10 * math.log10(on / off), abs=1e-3)
    assert noise_left_db(learner().model, pair) == pytest.approx(0, abs=0.1)  # a fresh mask takes next to nothing


@pytest.mark.parametrize("codec", tiny.CONFIGS, ids=lambda codec: codec.family)
def test_a_step_moves_the_switch_alone(codec):
    made = learner(codec=codec)
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    made.step()
    made.step()
    moved = {name for name, value in made.model.state_dict().items() if not torch.equal(value, before[name])}
    part = "denoiser." if codec == tiny.SPECTRAL else "film."
    assert moved and all(name.startswith(part) for name in moved)
    assert torch.equal(made.model.film.gamma[:, 0], before["film.gamma"][:, 0])


def test_some_steps_take_noise_away():
    made = learner()
    drawn = made.crops.draw(0)
    made.crops.draw = lambda step: drawn
    for _ in range(RUN.total_steps):
        figures = made.step()
    assert set(figures) == {"spectra", "gradient_norm"}
    assert noise_left_db(made.model, drawn) < -1


def test_without_a_denoiser_latents_are_what_film_learns_from():
    assert set(learner(codec=tiny.CONFIG).step()) == {"latents", "gradient_norm"}


def test_a_spectrum_that_lacks_sound_is_farther_than_one_with_noise_left():
    clean = tiny.noise(2, 20, 30, scale=0.1)
    same, less, more = (spectral_distances(gain * clean, clean) for gain in (1.0, 0.5, 1.5))
    assert (same < more).all() and (more < less).all()
    assert torch.allclose(same, torch.full((2,), 0.1**0.5 + 4 * 0.02**0.5), atol=1e-4)


def test_the_stage_goes_on_from_the_average_of_a_codec_and_without_its_moments():
    codec = learner(Learner, stage="codec", quantize_from_step=0)
    codec.step()
    codec.step()
    made = learner()
    remarks = made.restore(codec.state())
    assert any("optimizer starts afresh" in remark for remark in remarks)
    assert made.progress.fresh_from == made.progress.step == 2
    average = codec.average.model.state_dict()
    for model in (made.model, made.average.model):
        assert torch.equal(model.state_dict()["encoder.first.weight"], average["encoder.first.weight"])


def test_the_stage_goes_on_exactly_where_it_was():
    made, whole = learner(), learner()
    for _ in range(4):
        whole.step()
    made.step()
    made.step()
    again = learner()
    assert again.restore(made.state()) == []
    again.step()
    again.step()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_a_stage_that_teaches_nothing_is_refused():
    with pytest.raises(ConfigError, match="stage denoise"):
        learner(data=dataclasses.replace(DATA, denoise_probability=0.0))


def test_the_stage_has_no_discriminators_whatever_the_run_file_says():
    assert learner(adversarial_from_step=0).critic is None


def test_an_unknown_stage_is_refused():
    with pytest.raises(ConfigError, match="codec, decoder, denoise"):
        dataclasses.replace(RUN, stage="noise")


@pytest.mark.parametrize("speech_alone", [False, True])
def test_validation_says_what_the_switch_leaves_where_it_can(tmp_path, speech_alone):
    valid = Corpus.of(CORPUS.sample_rate, {"speech/a.wav": tiny.clip(2.5)}) if speech_alone else CORPUS
    trainer = Trainer(dataclasses.replace(RUN, total_steps=1), CORPUS, valid, tmp_path)
    assert trainer.validate().get("noise_left_db") == (None if speech_alone else pytest.approx(0, abs=0.2))
