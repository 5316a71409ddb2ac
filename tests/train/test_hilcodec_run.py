"""HILCodec's run file: a narrow model learns by it."""

import math
from pathlib import Path

import torch

import tiny
from soundstream.train.config import load_run
from soundstream.train.data.crops import Crops
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import choose_precision

RUN = Path(__file__).parents[2] / "configs/hilcodec.toml"
STEPS = 30
NARROW = {
    "codec": {
        "sample_rate": 8_000,
        "encoder_channels": 4,
        "decoder_channels": 4,
        "strides": [2, 2, 2, 5],
        "window": 8,
        "latent_dim": 8,
        "num_quantizers": 8,
        "codebook_size": 16,
    },
    "data": {"batch_size": 2, "crop_frames": 60},
    "discriminator": {"channels": 4, "windows": [256]},
    "optimizer": {"warmup_steps": 0},
    "kmeans_batches": 2,
}


def test_the_networks_are_the_published_ones():
    run = load_run(RUN)
    codec = run.codec
    assert (codec.family, codec.encoder_channels, codec.decoder_channels) == ("hilcodec", 64, 96)
    assert run.data.crop_frames / codec.spec().frame_rate == 1
    loss = run.loss
    assert math.isclose(loss.mel_weight[1] + loss.adversarial_weight + loss.feature_weight, 1)


def test_steps_keep_every_figure_finite_and_move_every_parameter():
    torch.manual_seed(0)
    run = load_run(RUN, **NARROW)
    crops = Crops(tiny.corpus(), run.data, run.codec, run.seed)
    made = Learner(run, crops, choose_precision(torch.device("cpu"), "fp32"))
    before = {name: parameter.detach().clone() for name, parameter in made.model.named_parameters()}
    moved = set()  # at any step: a scale may come back to where it was
    for _ in range(STEPS):
        assert all(math.isfinite(value) for value in made.step().values())
        moved |= {name for name, p in made.model.named_parameters() if (p - before[name]).abs().max() > 1e-4}
    assert not before.keys() - moved
