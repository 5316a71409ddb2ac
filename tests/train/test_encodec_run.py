"""EnCodec's recipe: what its run file says, and that a narrow model learns by it."""

import math
from pathlib import Path

import pytest
import torch

import tiny
from soundstream.train.config import load_run
from soundstream.train.data.crops import Crops
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import choose_precision

RUN = Path(__file__).parents[2] / "configs/encodec.toml"
STEPS = 50
OFFSETS = {"encoder.last.bias", "film.beta"}
"""Added to all latents of a channel alike, which the normalizer takes out again: they have no gradient."""
NARROW = {
    "codec": {"sample_rate": 8_000, "channels": 4, "strides": [2, 4, 5], "latent_dim": 8, "codebook_size": 16},
    "data": {"batch_size": 2, "crop_frames": 52},
    "discriminator": {"channels": 4, "windows": [256]},
    "kmeans_batches": 2,
}


def test_its_weights_are_those_of_the_paper_and_the_networks_the_published_ones():
    run = load_run(RUN)
    found = {name: weight for name, weight in run.loss.weights(0.0).items() if weight}
    published = {"waveform": 0.1, "mel": 1.0, "adversarial": 3.0, "feature": 3.0}
    assert found == pytest.approx({name: weight / 7.1 for name, weight in published.items()}, rel=2e-3)
    assert run.loss.weights(1.0) == run.loss.weights(0.0)
    assert (run.loss.balance, run.loss.balancer_decay, run.discriminator.kind) == (True, 0.999, "ms-stft")
    assert (run.codec.family, run.codec.channels, run.codec.lstm_layers) == ("encodec", 32, 2)
    rates = sorted(run.codec.spec().bitrate(int(count)) for count in run.quantizer_dropout_shares)
    assert rates == [1500, 3000, 6000, 12_000, 24_000]


def test_steps_keep_every_figure_finite_and_move_every_parameter():
    run = load_run(RUN, **NARROW)
    made = Learner(
        run, Crops(tiny.corpus(), run.data, run.codec, run.seed), choose_precision(torch.device("cpu"), "fp32")
    )
    before = {name: parameter.detach().clone() for name, parameter in made.model.named_parameters()}
    figures = [{name: float(value) for name, value in made.step().items()} for _ in range(STEPS)]
    assert all(math.isfinite(value) for entry in figures for value in entry.values())
    moved = {name for name, p in made.model.named_parameters() if (p - before[name]).abs().max() > 1e-3}
    assert set(before) - moved <= OFFSETS, set(before) - moved
