"""Files of EnCodec's own program become `.nac` and come back, byte by byte."""

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import soundstream
from encodec_weights import filled
from soundstream.bitstream.ecdc import Ecdc, pack, parse
from soundstream.cli.commands import app
from soundstream.codec.ecdc_files import convert_file
from soundstream.errors import ConfigError, ModelMismatch, OutputError, Truncated
from soundstream.export.artifact import export
from soundstream.nn.families import encodec

SAMPLES = 10_007


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("ecdc") / "model"
    export(filled(encodec.build(encodec.Config(channels=4, latent_dim=16))), folder)
    return folder


@pytest.fixture
def written(tmp_path):
    """Codes, and the file that holds them."""
    codes = np.random.default_rng(0).integers(0, 1024, (8, 32))
    (tmp_path / "a.ecdc").write_bytes(pack(Ecdc(codes, SAMPLES)))
    return codes, tmp_path / "a.ecdc"


def test_a_file_becomes_nac_with_its_codes_and_comes_back(written, model, tmp_path):
    codes, source = written
    for one, other in (("a.ecdc", "a.nac"), ("a.nac", "b.ecdc")):
        words = ["convert", str(tmp_path / one), "-o", str(tmp_path / other), "--model", str(model)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "b.ecdc").read_bytes() == source.read_bytes()
    codec = soundstream.load(model)
    decoded, rate = codec.decode((tmp_path / "a.nac").read_bytes())
    assert (decoded.shape, rate) == ((1, SAMPLES), 24_000)
    np.testing.assert_allclose(decoded, codec.from_codes(codes, 24_000, SAMPLES), rtol=0, atol=1e-5)


def test_sound_coded_here_becomes_ecdc_with_its_codes(model, tmp_path):
    pcm = np.random.default_rng(1).normal(0, 0.1, (1, SAMPLES)).astype(np.float32)
    codec = soundstream.load(model)
    (tmp_path / "a.nac").write_bytes(codec.encode(pcm, 24_000, 3000, effort=1))
    convert_file(tmp_path / "a.nac", tmp_path / "a.ecdc", model=model)
    found = parse((tmp_path / "a.ecdc").read_bytes())
    np.testing.assert_array_equal(found.codes, codec.to_codes(pcm, 24_000, 3000, effort=1))
    assert found.num_samples == SAMPLES


def test_what_an_ecdc_file_cannot_hold_is_refused(model, tmp_path):
    codec = soundstream.load(model)
    (tmp_path / "a.nac").write_bytes(codec.encode(np.zeros((2, 999), np.float32), 24_000, 1500))
    with pytest.raises(ConfigError, match="whole mono sound at 24,000 Hz"):
        convert_file(tmp_path / "a.nac", tmp_path / "a.ecdc", model=model)
    assert not (tmp_path / "a.ecdc").exists()


def test_other_names_models_and_damage_are_named(written, model, tiny_artifact, tmp_path):
    _, source = written
    soundfile.write(tmp_path / "a.wav", np.zeros(99), 24_000)
    with pytest.raises(ConfigError, match=r"from .ecdc to .nac or back"):
        convert_file(tmp_path / "a.wav", tmp_path / "a.nac", model=model)
    with pytest.raises(ModelMismatch, match="not EnCodec's for 24 kHz"):
        convert_file(source, tmp_path / "a.nac", model=tiny_artifact)
    with pytest.raises(OutputError, match="is the input"):
        convert_file(source, source, model=model, force=True)
    source.write_bytes(source.read_bytes()[:-1])
    with pytest.raises(Truncated, match=r"a\.ecdc"):
        convert_file(source, tmp_path / "a.nac", model=model)
    assert not (tmp_path / "a.nac").exists()
