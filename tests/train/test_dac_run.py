"""The recipes of DAC and SNAC: what their run files say, and that narrow models learn by them."""

import math
from pathlib import Path

import pytest
import torch

import tiny
from soundstream.errors import ConfigError
from soundstream.train.config import load_run
from soundstream.train.data.crops import Crops
from soundstream.train.losses.reconstruction import DacMelLoss
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import choose_precision

CONFIGS = Path(__file__).parents[2] / "configs"
STEPS = 3
OFFSETS = {"encoder.last.bias", "film.beta"}
"""Added to all latents of a channel alike, which the normalizer takes out again: they have no gradient."""
NETWORKS = {
    "sample_rate": 8_000,
    "encoder_channels": 4,
    "decoder_channels": 8,
    "strides": [2, 4, 5],
    "codebook_size": 16,
}
NARROW = {
    "dac": {"family": "dac", "latent_dim": 8, "codebook_dim": 4, **NETWORKS},
    "snac": {"family": "snac", "latent_dim": 32, "codebook_dim": 4, **NETWORKS},
    "attention": {"family": "snac", "latent_dim": 32, "codebook_dim": 4, "attention_window": 8, **NETWORKS},
}


def narrow(name):
    return load_run(
        CONFIGS / f"{'dac' if name == 'dac' else 'snac'}.toml",
        codec=NARROW[name],
        data={"batch_size": 2, "crop_frames": 56},
        discriminator={"channels": 4, "wave_channels": 4, "windows": [256]},
        kmeans_batches=1,
    )


def test_the_recipe_is_that_of_the_paper():
    run = load_run(CONFIGS / "dac.toml")
    found = {name: weight for name, weight in run.loss.weights(0.0).items() if weight}
    assert found == {"mel": 15.0, "adversarial": 8 * 1.0, "feature": 100 * 2.0}
    assert (run.loss.mel, run.loss.balance, run.discriminator.kind) == ("dac", False, "dac")
    assert [run.discriminator.min_samples(44_100)] == [2048]
    counts = run.draw_counts(torch.linspace(0, 0.999, 1000), torch.arange(1000) % 10 / 10)
    assert ((counts == 9).float().mean(), counts.min(), counts.max()) == (pytest.approx(0.5 + 0.5 / 9, abs=0.01), 1, 9)
    assert 0.37 < run.data.crop_frames * run.codec.hop_length / run.codec.sample_rate < 0.39


def test_snac_is_trained_with_all_codebooks_and_whole_codes():
    run = load_run(CONFIGS / "snac.toml")
    assert (run.codec.family, run.codec.sample_rate, run.codec.codebook_strides) == ("snac", 24_000, (4, 2, 1))
    assert (run.draw_counts(torch.rand(50), torch.rand(50)) == 3).all()
    with pytest.raises(ConfigError, match="crop_frames is 22; expected a multiple of 4"):
        load_run(CONFIGS / "snac.toml", data={"crop_frames": 22})


@pytest.mark.parametrize("name", NARROW)
def test_steps_keep_every_figure_finite_and_move_every_parameter(name):
    """Codebooks too, which follow what they code."""
    run = narrow(name)
    made = Learner(
        run, Crops(tiny.corpus(), run.data, run.codec, run.seed), choose_precision(torch.device("cpu"), "fp32")
    )
    made.step()  # k-means has started the codebooks
    followed = {"codebooks": made.model.quantizer.codebooks, **dict(made.critic.discriminators.named_parameters())}
    watched = dict(made.model.named_parameters()) | followed
    before = {name: tensor.detach().clone() for name, tensor in watched.items()}
    figures = [{name: float(value) for name, value in made.step().items()} for _ in range(STEPS)]
    assert all(math.isfinite(value) for entry in figures for value in entry.values())
    assert {"mel", "mel_log", "adversarial", "feature", "discriminator"} <= set(figures[0])
    still = {name for name, tensor in watched.items() if torch.equal(tensor, before[name])}
    offsets = {name for name in followed if name.endswith("logits.bias")}  # hinges pull it both ways alike
    assert still <= OFFSETS | offsets, still
    assert (made.model.quantizer.codebooks != before["codebooks"]).any(dim=(1, 2)).all()


def test_the_mel_loss_of_dac_is_its_formula():
    loss, target, decoded = DacMelLoss(24_000), tiny.noise(2, 1, 4096), tiny.noise(2, 1, 4096, seed=1)
    spectra = [loss.spectra(audio) for audio in (target, decoded)]
    assert [s.shape[1] for s in spectra[0]] == [1 + (4096 - w) // (w // 4) for w in (32, 64, 128, 256, 512, 1024, 2048)]
    expected = sum(
        (a.clamp(min=1e-5).log10() - b.clamp(min=1e-5).log10()).abs().mean() for a, b in zip(*spectra, strict=True)
    )
    torch.testing.assert_close(loss(*spectra, 1e-5)[0], expected)
    assert loss(spectra[0], spectra[0], 1e-5)[0] == 0
