"""VRVQ's run file: what it says, and that a narrow model learns by it, its importance too."""

import math
from pathlib import Path

import pytest
import torch

import tiny
from soundstream.train.config import load_run
from soundstream.train.data.crops import Crops
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import choose_precision

RUN = Path(__file__).parents[2] / "configs/vrvq.toml"
STEPS = 1
OFFSETS = {"encoder.last.bias", "film.beta"}
"""Added to all latents of a channel alike, which the normalizer takes out again: they have no gradient."""
NARROW = {
    "codec": {
        "family": "vrvq",
        "sample_rate": 8_000,
        "encoder_channels": 4,
        "decoder_channels": 8,
        "strides": [2, 4, 5],
        "latent_dim": 8,
        "codebook_dim": 4,
        "codebook_size": 16,
        "importance_channels": [8, 4],
    },
    "data": {"batch_size": 2, "crop_frames": 56},
    "discriminator": {"channels": 4, "wave_channels": 4, "windows": [256]},
    "kmeans_batches": 1,
}


def learner(**changes):
    torch.manual_seed(0)
    run = load_run(RUN, **NARROW | changes)
    crops = Crops(tiny.corpus(), run.data, run.codec, run.seed)
    return Learner(run, crops, choose_precision(torch.device("cpu"), "fp32"))


def test_the_recipe_is_that_of_the_published_run_files():
    run = load_run(RUN)
    assert (run.codec.family, run.codec.num_quantizers, run.data.batch_size) == ("vrvq", 8, 32)
    assert 0.75 * run.loss.rate_weight == pytest.approx(2, abs=0.001)
    counts = run.draw_counts(torch.linspace(0, 0.999, 1000), torch.arange(1000) % 7 / 7)
    assert (counts == 8).float().mean() == pytest.approx(0.25, abs=0.01)


def test_steps_keep_every_figure_finite_and_move_every_parameter():
    made = learner()
    made.step()  # k-means has started the codebooks
    before = {name: parameter.detach().clone() for name, parameter in made.model.named_parameters()}
    figures = [{name: float(value) for name, value in made.step().items()} for _ in range(STEPS)]
    assert all(math.isfinite(value) for entry in figures for value in entry.values())
    assert all(0 < entry["rate"] < 1 for entry in figures)
    still = {name for name, tensor in made.model.named_parameters() if torch.equal(tensor, before[name])}
    assert still <= OFFSETS, still


def test_the_rate_loss_makes_frames_less_important():
    rates = []
    for weight in (0.0, 1000.0):
        made = learner(loss={"rate_weight": weight}, optimizer={"learning_rate": 1e-2}, adversarial_from_step=10**6)
        rates.append([float(made.step()["rate"]) for _ in range(3)])
    assert rates[0][0] == rates[1][0] and rates[1][2] < 0.9 * rates[0][2]
