"""VCNAC's run file: a narrow model learns mono, stereo and 5.1 by it."""

import math
from pathlib import Path

import torch

import tiny
from soundstream.train.config import load_run
from soundstream.train.data.crops import Crops
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import choose_precision
from soundstream.train.validation import Validator

RUN = Path(__file__).parents[2] / "configs/vcnac.toml"
STEPS = 6
NARROW = {
    "codec": {
        "sample_rate": 8_000,
        "encoder_channels": 4,
        "decoder_channels": 4,
        "strides": [2, 4, 5],
        "dilations": [1, 3],
        "latent_dim": 8,
        "num_quantizers": 4,
        "codebook_size": 16,
    },
    "data": {"batch_size": 6, "crop_frames": 52},
    "discriminator": {"channels": 2, "windows": [256]},
    "optimizer": {"learning_rate": 2e-3},
    "kmeans_batches": 2,
}


def learner():
    run = load_run(RUN, **NARROW)
    crops = Crops(tiny.corpus(), run.data, run.codec, run.seed)
    return Learner(run, crops, choose_precision(torch.device("cpu"), "fp32"))


def test_its_networks_code_six_channels_together():
    codec = load_run(RUN).codec
    assert (codec.family, codec.audio_channels, codec.spec().frame_rate) == ("vcnac", 6, 75)


def test_steps_keep_every_figure_finite_and_move_every_parameter():
    made = learner()
    before = {name: parameter.detach().clone() for name, parameter in made.model.named_parameters()}
    figures = [{name: float(value) for name, value in made.step().items()} for _ in range(STEPS)]
    assert all(math.isfinite(value) for entry in figures for value in entry.values())
    still = {name for name, p in made.model.named_parameters() if (p - before[name]).abs().max() <= 1e-4}
    assert not still
    layouts = (made.model.film.gamma - before["film.gamma"]).abs().amax(0)
    channels = (made.model.encoder.first.weight - before["encoder.first.weight"]).abs().amax((0, 2, 3))
    assert layouts.min() > 1e-4 and channels.min() > 1e-4


def test_what_is_judged_are_the_channels_that_are_decoded():
    made = learner()
    made.step()
    heard = 6 + 2 + 1 + 2 + 1 + 1
    assert (made.inputs.audio.shape, made.inputs.target.shape) == ((6, 6, 2080), (heard, 1, 2080))
    figures = Validator(tiny.noise(2, 1, 4000), made.config.codec)(made.model)
    assert math.isfinite(figures["snr_db_4"])
