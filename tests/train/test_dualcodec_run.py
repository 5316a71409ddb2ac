"""DualCodec's run file: a narrow model learns by it, from features that a function makes of the crops."""

import math
from pathlib import Path

import pytest
import torch

import tiny
from soundstream.errors import ConfigError
from soundstream.nn.families import dualcodec
from soundstream.train.config import load_run
from soundstream.train.data.crops import Crops
from soundstream.train.data.features import featuring
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import choose_precision
from soundstream.train.validation import Validator

RUN = Path(__file__).parents[2] / "configs/dualcodec.toml"
WIDTH = 4
OFFSETS = {"encoder.last.bias", "film.beta"}
"""Added to all latents of a channel alike, which the normalizer takes out again: they have no gradient."""
NARROW = {
    "features": f"{__name__}:levels",
    "codec": {
        "family": "dualcodec",
        "sample_rate": 8_000,
        "encoder_channels": 2,
        "decoder_channels": 8,
        "strides": [2, 4, 5],
        "latent_dim": 12,
        "num_quantizers": 8,
        "codebook_dim": WIDTH,
        "codebook_size": 32,
        "acoustic_size": 16,
        "feature_channels": 5,
        "semantic_channels": 6,
        "semantic_blocks": 1,
        "feedforward": 8,
    },
    "data": {"batch_size": 2, "crop_frames": 56},
    "discriminator": {"channels": 4, "wave_channels": 4, "windows": [256]},
    "kmeans_batches": 2,
}


def levels(audio, sample_rate):
    """What stands for features of speech: levels of the parts of a frame."""
    parts = audio.reshape(len(audio), -1, 5, 40 // 5)
    return (parts.square().mean(-1) + 1e-6).log().transpose(1, 2)


def short(audio, sample_rate):
    return levels(audio, sample_rate)[..., 1:]


@pytest.fixture(scope="module")
def learner():
    """After a step, before which k-means has started the codebooks."""
    torch.manual_seed(0)
    run = load_run(RUN, **NARROW)
    crops = Crops(tiny.corpus(), run.data, run.codec, run.seed)
    made = Learner(run, crops, choose_precision(torch.device("cpu"), "fp32"))
    made.step()
    return made


def test_steps_move_every_parameter_and_both_kinds_of_codebook_and_keep_the_halves_apart(learner):
    watched = dict(learner.model.named_parameters()) | {"codebooks": learner.model.quantizer.codebooks}
    before = {name: tensor.detach().clone() for name, tensor in watched.items()}
    figures = {name: float(value) for name, value in learner.step().items()}
    assert all(math.isfinite(value) for value in figures.values())
    still = {name for name, tensor in watched.items() if torch.equal(tensor, before[name])}
    assert still <= OFFSETS, still
    quantizer, fresh = learner.model.quantizer, dualcodec.build(learner.config.codec).quantizer
    assert (quantizer.codebooks[:, :16] != before["codebooks"][:, :16]).any(dim=(1, 2)).all()
    for name in ("project_in", "project_out", "bias_in", "bias_out"):
        assert torch.equal(getattr(quantizer, name)[0], getattr(fresh, name)[0])
    assert not quantizer.project_in[1:, :, :WIDTH].any() and not quantizer.project_out[1:, :WIDTH].any()
    assert not quantizer.bias_out[1:, :WIDTH].any() and not learner.model.film.beta[:WIDTH].any()


@torch.no_grad()
def test_a_trained_model_finds_the_semantic_entry_again(learner):
    model = learner.model.eval()
    latents = model.encode(learner.inputs.audio, None, learner.inputs.features)
    codes = model.quantizer.encode(latents, 8)[:, 0]
    torch.testing.assert_close(latents[:, :WIDTH], model.quantizer.codebooks[0][codes].transpose(1, 2))
    assert len(codes.unique()) > 4


def test_validation_has_features_too(learner):
    clips, codec = tiny.noise(2, 1, 4000), learner.config.codec
    figures = Validator(clips, codec, featuring=featuring(learner.config.features, codec))(learner.model)
    assert math.isfinite(figures["snr_db_8"])


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ("", r"takes features beside the sound: hidden state 17 of w2v-BERT 2.0.*; name a function that makes them"),
        ("nowhere:levels", "expected MODULE:FUNCTION that Python finds .*nowhere"),
        ("math:nothing", "expected MODULE:FUNCTION that Python finds"),
        ("math:pi", "is no function"),
        ("levels", "expected MODULE:FUNCTION"),
    ],
)
def test_features_that_are_not_there_are_refused_by_name(features, words):
    with pytest.raises(ConfigError, match=words):
        featuring(features, load_run(RUN, **NARROW).codec)


def test_features_of_another_shape_are_refused_with_what_is_expected():
    made = featuring(f"{__name__}:short", load_run(RUN, **NARROW).codec)
    with pytest.raises(ConfigError, match=r"gives \[2, 5, 9\]; expected a tensor \[2, 5, 10\]"):
        made(torch.zeros(2, 1, 400))


def test_a_codec_of_sound_alone_takes_none():
    assert featuring("", tiny.CONFIG) is None
    with pytest.raises(ConfigError, match="takes sound alone"):
        featuring("math:sqrt", tiny.CONFIG)
