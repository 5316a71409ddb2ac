"""DAC's published weights become a model: every tensor of them, from all kinds of file, and nothing else."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import soundstream
from dac_weights import CONFIG, WIDE_BAND, published, renamed
from soundstream.cli.commands import app
from soundstream.errors import ArtifactError
from soundstream.export.published import import_published
from soundstream.nn.families import dac

TENSORS = published(CONFIG)
KWARGS = {"encoder_dim": 4, "encoder_rates": [2, 4, 5, 8], "quantizer_dropout": 0.5, "sample_rate": 24_000}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setitem(dac.VARIANTS, "24khz", CONFIG)


def wrapped(tensors):
    """As the authors' files have them."""
    return {"state_dict": tensors, "metadata": {"kwargs": KWARGS}}


def test_the_command_makes_a_model_that_codes_sound_and_says_whose_it_is(tmp_path):
    weights, folder = tmp_path / "weights_24khz.pth", tmp_path / "model"
    torch.save(wrapped(TENSORS), weights)
    result = CliRunner().invoke(app, ["import", "dac", "24khz", str(weights), "-o", str(folder)])
    assert result.exit_code == 0, result.output
    codec, card = soundstream.load(folder), (folder / "README.md").read_text()
    for words in ("MIT", "descriptinc/descript-audio-codec", weights.name, codec.model_id.hex()):
        assert words in card
    pcm = np.random.default_rng(0).normal(0, 0.1, (2, 5001)).astype(np.float32)
    decoded, rate = codec.decode(codec.encode(pcm, 24_000, codec.spec.bitrate(4)))
    assert (decoded.shape, rate) == (pcm.shape, 24_000) and np.abs(decoded).max() > 0


def test_all_kinds_of_file_are_the_same_model(tmp_path):
    torch.save(wrapped(TENSORS), tmp_path / "weights.pth")
    torch.save(TENSORS, tmp_path / "bare.pth")
    save_file(renamed(TENSORS, CONFIG), tmp_path / "model.safetensors")
    files = [tmp_path / name for name in ("weights.pth", "bare.pth", "model.safetensors")]
    assert len({import_published("dac", "24khz", path, tmp_path / path.stem) for path in files}) == 1


def test_names_that_pytorch_gives_weight_normalization_now_are_taken():
    new = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    tensors = {re.sub("weight_[gv]", lambda found: new[found[0]], name): value for name, value in TENSORS.items()}
    found, expected = (dac.convert(given, CONFIG).state_dict() for given in (tensors, TENSORS))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_tensors_of_every_kind_reach_the_model():
    state = dac.convert(TENSORS, CONFIG).state_dict()
    for name, tensor in [*TENSORS.items()][::9]:
        changed = dac.convert(TENSORS | {name: tensor + 0.5}, CONFIG).state_dict()
        found = {key for key in state if not torch.equal(changed[key], state[key])} - {"quantizer.sums"}
        assert len(found) == 1, name


@pytest.mark.parametrize("name", ["encoder.block.5.alpha", "quantizer.quantizers.3.in_proj.weight_g"])
def test_a_missing_tensor_is_named(name):
    with pytest.raises(ArtifactError, match="the weights lack"):
        dac.convert({key: value for key, value in TENSORS.items() if key != name}, CONFIG)


def test_weights_of_another_model_are_refused():
    with pytest.raises(ArtifactError, match=r"expected \[.*these are weights of another model"):
        dac.convert(published(WIDE_BAND), CONFIG)
    more = TENSORS | {"quantizer.quantizers.6.codebook.weight": torch.zeros(64, 8)}
    with pytest.raises(ArtifactError, match=r"1 tensors have no place.*quantizers\.6\.codebook"):
        dac.convert(more, CONFIG)
