"""Files of EnCodec's own program become `.nac` and come back, byte by byte."""

import dataclasses
import sys

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import encodec_language_weights
import soundstream
from encodec_weights import filled
from soundstream.bitstream.ecdc import STEREO, Ecdc, pack, parse
from soundstream.cli.commands import app
from soundstream.codec.ecdc_files import convert_file
from soundstream.errors import ConfigError, ModelMismatch, OutputError, Truncated
from soundstream.export.artifact import export
from soundstream.nn.encodec_language import read_language_model
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


@pytest.fixture(scope="module")
def stereo(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("ecdc") / "stereo"
    config = dataclasses.replace(encodec.VARIANTS["48khz"], channels=4, latent_dim=16)
    export(filled(encodec.build(config)), folder)
    return folder


@pytest.mark.parametrize("samples", [0, 1, 47_520, 47_600, 48_000, 100_001])
def test_stereo_files_come_back_to_the_bit_and_sound_alike(stereo, tmp_path, samples):
    rng, frames = np.random.default_rng(samples), STEREO.frames(samples)
    gains = rng.uniform(0.1, 1, len(frames)).astype(np.float32)
    codes = rng.integers(0, 1024, (4, sum(frames)))
    (tmp_path / "a.ecdc").write_bytes(pack(Ecdc(codes, samples, STEREO, gains)))
    convert_file(tmp_path / "a.ecdc", tmp_path / "a.nac", model=stereo)
    convert_file(tmp_path / "a.nac", tmp_path / "b.ecdc", model=stereo)
    assert (tmp_path / "b.ecdc").read_bytes() == (tmp_path / "a.ecdc").read_bytes()
    codec = soundstream.load(stereo, postfilter=False)
    decoded, rate = codec.decode((tmp_path / "a.nac").read_bytes())
    assert (decoded.shape, rate) == ((2, samples), 48_000)
    given = codec.join_codes(codes, np.repeat(gains, frames)[None])
    np.testing.assert_allclose(decoded, codec.from_codes(given, num_samples=samples), rtol=0, atol=1e-5)


def test_files_of_the_other_model_are_refused_both_ways(written, model, stereo, tmp_path):
    _, source = written
    with pytest.raises(ModelMismatch, match="of encodec_24khz, the model of encodec_48khz"):
        convert_file(source, tmp_path / "a.nac", model=stereo)
    (tmp_path / "m.nac").write_bytes(soundstream.load(stereo).encode(np.zeros((1, 999), np.float32), 48_000, 1500))
    with pytest.raises(ConfigError, match="whole stereo sound at 48,000 Hz"):
        convert_file(tmp_path / "m.nac", tmp_path / "b.ecdc", model=stereo)
    assert not (tmp_path / "a.nac").exists() and not (tmp_path / "b.ecdc").exists()


def test_what_an_ecdc_file_cannot_hold_is_refused(model, tmp_path):
    codec = soundstream.load(model)
    (tmp_path / "a.nac").write_bytes(codec.encode(np.zeros((2, 999), np.float32), 24_000, 1500))
    with pytest.raises(ConfigError, match="whole mono sound at 24,000 Hz"):
        convert_file(tmp_path / "a.nac", tmp_path / "a.ecdc", model=model)
    assert not (tmp_path / "a.ecdc").exists()


def test_a_model_with_codebooks_of_several_sizes_is_not_encodecs(written, model, tmp_path, monkeypatch):
    codec = soundstream.load(model)
    books = (dataclasses.replace(codec.spec.codebooks[0], size=512), *codec.spec.codebooks[1:])
    monkeypatch.setattr(codec, "spec", dataclasses.replace(codec.spec, codebooks=books))
    monkeypatch.setattr("soundstream.codec.ecdc_files.load", lambda name: codec)
    with pytest.raises(ModelMismatch, match="the model is not EnCodec's"):
        convert_file(written[1], tmp_path / "a.nac", model=model)
    assert not (tmp_path / "a.nac").exists()


def test_other_names_models_and_damage_are_named(written, model, tiny_artifact, tmp_path):
    _, source = written
    soundfile.write(tmp_path / "a.wav", np.zeros(99), 24_000)
    with pytest.raises(ConfigError, match=r"from .ecdc to .nac or back"):
        convert_file(tmp_path / "a.wav", tmp_path / "a.nac", model=model)
    with pytest.raises(ModelMismatch, match="the model is not EnCodec's"):
        convert_file(source, tmp_path / "a.nac", model=tiny_artifact)
    with pytest.raises(OutputError, match="is the input"):
        convert_file(source, source, model=model, force=True)
    source.write_bytes(source.read_bytes()[:-1])
    with pytest.raises(Truncated, match=r"a\.ecdc"):
        convert_file(source, tmp_path / "a.nac", model=model)
    assert not (tmp_path / "a.nac").exists()


@pytest.fixture
def language(tmp_path):
    """Weights of a language model, and a file that it codes, `c.ecdc`, whose codes `a.ecdc` has too."""
    torch.save(encodec_language_weights.published(32), tmp_path / "lm.th")
    found = Ecdc(np.random.default_rng(0).integers(0, 1024, (2, 10)), 3199)
    data = encodec_language_weights.coded(read_language_model(tmp_path / "lm.th"), found)
    (tmp_path / "c.ecdc").write_bytes(data)
    (tmp_path / "a.ecdc").write_bytes(pack(found))
    return tmp_path / "lm.th"


def converted(folder, name, model, *words):
    return CliRunner().invoke(
        app, ["convert", str(folder / name), "-o", str(folder / f"{name}.nac"), "--model", str(model), *words]
    )


def test_a_file_of_the_language_model_becomes_the_same_nac(language, model, tmp_path):
    for name in ("c.ecdc", "a.ecdc"):
        result = converted(tmp_path, name, model, "--not-portable", "--language-model", str(language))
        assert result.exit_code == 0, result.output
    assert (tmp_path / "c.ecdc.nac").read_bytes() == (tmp_path / "a.ecdc.nac").read_bytes()


def test_a_file_of_the_language_model_needs_its_weights_and_consent(language, model, tmp_path, monkeypatch):
    result = converted(tmp_path, "c.ecdc", model)
    assert result.exit_code == 1 and "--not-portable" in str(result.exception)
    for words in (["--not-portable"], ["--language-model", str(language)]):
        result = converted(tmp_path, "c.ecdc", model, *words)
        assert result.exit_code == 1 and "--not-portable needs the weights" in str(result.exception)
    monkeypatch.delitem(sys.modules, "soundstream.nn.encodec_language")
    monkeypatch.setitem(sys.modules, "torch", None)
    result = converted(tmp_path, "c.ecdc", model, "--not-portable", "--language-model", str(language))
    assert result.exit_code == 1 and "needs torch; install it with" in str(result.exception)
    assert not (tmp_path / "c.ecdc.nac").exists()
