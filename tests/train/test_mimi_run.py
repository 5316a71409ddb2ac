"""Mimi's run file: a narrow model learns by it."""

import math
from pathlib import Path

import torch

import tiny
from soundstream.train.config import load_run
from soundstream.train.data.crops import Crops
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import choose_precision

RUN = Path(__file__).parents[2] / "configs/mimi.toml"
STEPS = 10
OFFSETS = {"encoder.slower.bias", "film.beta"}
"""Added to all latents of a channel alike, which the normalizer takes out again: they have no gradient."""
NARROW = {
    "codec": {
        "sample_rate": 8_000,
        "channels": 4,
        "strides": [2, 4, 5],
        "latent_dim": 8,
        "num_quantizers": 4,
        "codebook_size": 16,
        "codebook_dim": 6,
        "transformer_layers": 1,
        "heads": 2,
        "feedforward": 12,
        "window": 9,
    },
    "data": {"batch_size": 2, "crop_frames": 26},
    "discriminator": {"channels": 4, "windows": [256]},
    "discriminator_warmup_steps": 2,
    "kmeans_batches": 2,
}


def test_the_networks_are_the_published_ones():
    run = load_run(RUN)
    assert (run.codec.family, run.codec.transformer_layers, run.codec.window) == ("mimi", 8, 250)
    assert run.data.crop_frames / run.codec.spec().frame_rate == 12


def test_steps_keep_every_figure_finite_and_move_every_parameter():
    run = load_run(RUN, **NARROW)
    crops = Crops(tiny.corpus(), run.data, run.codec, run.seed)
    made = Learner(run, crops, choose_precision(torch.device("cpu"), "fp32"))
    before = {name: parameter.detach().clone() for name, parameter in made.model.named_parameters()}
    figures = [{name: float(value) for name, value in made.step().items()} for _ in range(STEPS)]
    assert all(math.isfinite(value) for entry in figures for value in entry.values())
    moved = {name for name, p in made.model.named_parameters() if (p - before[name]).abs().max() > 1e-4}
    assert set(before) - moved <= OFFSETS, set(before) - moved
