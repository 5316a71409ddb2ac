"""The stage that trains the decoder alone: what moves, and what the decoder is given."""

import dataclasses

import pytest
import torch

import tiny
from soundstream.errors import ConfigError
from soundstream.train.data.corpus import Corpus
from soundstream.train.data.crops import Crops
from soundstream.train.steps.decoding import DecoderLearner
from soundstream.train.steps.precision import choose_precision
from soundstream.train.validation import Validator

CODEC = dataclasses.replace(tiny.SPECTRAL, level_codes=True)
PLACE = CODEC.levels.place
RUN = dataclasses.replace(
    tiny.RUN, stage="decoder", codec=CODEC, adversarial_from_step=0, discriminator_warmup_steps=0, quantizer_effort=2
)
FP32 = choose_precision(torch.device("cpu"), "fp32")
LATENTS = CODEC.latent_dim


def learner(**changes):
    config = dataclasses.replace(RUN, **changes)
    corpus = Corpus.of(CODEC.sample_rate, {f"speech/{i}.wav": tiny.clip(2.5, i) for i in range(2)})
    made = DecoderLearner(config, Crops(corpus, config.data, config.codec, config.seed), FP32)
    made.model.load_state_dict(tiny.model(config=config.codec).state_dict())
    made.model.eval()
    return made


def test_steps_move_the_decoder_alone_and_no_code():
    made, sound = learner(), tiny.noise(2, 1, 40 * CODEC.hop_length)
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    codes = made.model.codes(sound)
    figures = [made.step() for _ in range(3)]
    assert {"adversarial", "feature", "discriminator", "mel"} <= set(figures[-1])
    moved = {name for name, value in made.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and not [name for name in moved if not name.startswith("decoder.")]
    assert torch.equal(made.model.codes(sound), codes)


@torch.no_grad()
def test_examples_with_as_many_codes_as_stand_before_that_of_levels_have_it():
    model, sound = tiny.model(config=CODEC), tiny.noise(3, 1, 20 * CODEC.hop_length)
    counts = torch.tensor([PLACE - 1, PLACE, CODEC.num_quantizers])
    latents = model.encode(sound)
    told = model.told(sound, latents, counts)
    assert torch.equal(told[:, :LATENTS], model.quantizer(latents, counts).latents)
    entries = told[:, LATENTS:].transpose(1, 2)
    assert not entries[0].any() and entries[1:].any()
    known = {tuple(entry) for entry in model.level_stage.codebook.tolist()}
    assert {tuple(entry) for entry in entries[1:].flatten(0, 1).tolist()} <= known


@torch.no_grad()
def test_a_code_of_levels_is_of_the_gains_a_frame_later():
    model, sound = tiny.model(config=CODEC), tiny.noise(1, 1, 20 * CODEC.hop_length)
    latents, counts = model.encode(sound), torch.tensor([PLACE])
    quantized = model.quantizer(latents, counts).latents
    gains = model.level_stage.gains(latents, model.levels(sound), quantized)
    expected = model.level_stage.entries(model.level_stage.encode(gains[..., 1:]))
    assert torch.equal(model.told(sound, latents, counts)[:, LATENTS:, :-1], expected)


def test_validation_hears_the_gains():
    sounds = torch.from_numpy(tiny.clip(2, 0) / 32768).float()[None, None]
    model, count = tiny.model(config=CODEC), CODEC.num_quantizers
    heard = Validator(sounds, CODEC)(model)
    model.level_stage.codebook.zero_()
    unheard = Validator(sounds, CODEC)(model)
    assert heard[f"mel_log_{count}"] != unheard[f"mel_log_{count}"] and heard["mel_log_1"] == unheard["mel_log_1"]


@torch.no_grad()
def test_a_codec_without_codes_of_levels_is_told_latents_alone():
    model, sound = tiny.model(config=tiny.SPECTRAL), tiny.noise(1, 1, 400)
    latents, counts = model.encode(sound), torch.tensor([2])
    assert torch.equal(model.told(sound, latents, counts), model.quantizer(latents, counts).latents)


def test_a_decoder_that_is_given_more_than_latents_is_refused():
    with pytest.raises(ConfigError, match="film = 'encoder'"):
        learner(codec=dataclasses.replace(tiny.CONFIG, film="decoder"))


def test_the_stage_has_discriminators_and_the_denoise_stage_has_none():
    assert RUN.is_adversarial and not dataclasses.replace(RUN, stage="denoise").is_adversarial
