"""Files of DAC's own program become the sound that program makes of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import soundstream
from dac_weights import CONFIG, WIDE_BAND, published
from soundstream.bitstream import dac as dac_format
from soundstream.cli.commands import app
from soundstream.codec.dac_files import dac_sound, read_dac
from soundstream.errors import BitstreamError, ConfigError, InvalidField, ModelMismatch, OutputError
from soundstream.export.artifact import export
from soundstream.nn.families import dac, seanet
from tiny import CONFIG as CAUSAL

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = ("dac-chunks", "dac-whole")
"""Written and decoded by descript-audio-codec 1.0.0 with the weights of `published(CONFIG)`: stereo in chunks without
padding, and mono in one with it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("dac") / "model"
    export(dac.convert(published(CONFIG), CONFIG), place)
    return place


@pytest.fixture(scope="module")
def codec(folder):
    return soundstream.load(folder, postfilter=False)


def original(name):
    return soundfile.read(GOLDEN / f"{name}.flac", dtype="float32", always_2d=True)[0].T


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)])


@pytest.mark.parametrize("name", FILES)
def test_the_sound_is_that_of_the_original_program(name, folder, tmp_path):
    result = run("decode", GOLDEN / f"{name}.dac", "-o", tmp_path / "a.wav", "--model", folder, "--bits", "float")
    assert result.exit_code == 0, result.output
    found, rate = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    expected = original(name)
    assert (found.T.shape, rate) == (expected.shape, 24_000)
    np.testing.assert_allclose(found.T, expected, rtol=0, atol=3e-5)
    assert np.abs(expected).max() > 0.1


def test_its_rate_may_be_another(folder, tmp_path):
    soundstream.decode_file(GOLDEN / "dac-whole.dac", tmp_path / "a.wav", model=folder, sample_rate=48_000)
    found, rate = soundfile.read(tmp_path / "a.wav", always_2d=True)
    assert (found.shape, rate) == ((20_014, 1), 48_000)
    np.testing.assert_allclose(found[2000:18_000:2, 0], original("dac-whole")[0, 1000:9000], rtol=0, atol=0.02)


def test_info_says_what_the_file_does():
    result = run("info", GOLDEN / "dac-chunks.dac", "--json")
    facts = json.loads(result.stdout)
    expected = {"channels": 2, "sample_rate": 24_000, "num_samples": 22_222, "num_quantizers": 6, "duration_s": 0.926}
    assert facts.items() >= expected.items() and facts["frames"] % facts["chunk_frames"] == 0
    shown = run("info", GOLDEN / "dac-whole.dac").stdout
    assert "DAC's own" in shown and "10,007" in shown


def test_memory_is_that_of_a_chunk(codec, monkeypatch):
    """However long a file is: the chunks are decoded one by one."""
    found = read_dac(GOLDEN / "dac-chunks.dac")
    long = replace(found, codes=np.tile(found.codes, (1, 1, 30)), num_samples=674_000)
    run, seen = type(codec.model.unpadded_decoder).run, []
    monkeypatch.setattr(
        "soundstream.runtime.session.Network.run",
        lambda network, latents: seen.append(latents.shape[3]) or run(network, latents=latents),
    )
    blocks = list(dac_sound(long, codec.model, 24_000))
    assert set(seen) == {found.chunk_frames} and max(block.shape[1] for block in blocks) <= 24_000
    assert sum(block.shape[1] for block in blocks) == long.num_samples


def test_the_model_has_to_be_named_and_to_be_the_right_one(folder, tmp_path):
    source, output = GOLDEN / "dac-chunks.dac", tmp_path / "a.wav"
    with pytest.raises(ConfigError, match=r"does not say which model made it.*--model"):
        soundstream.decode_file(source, output)
    other, causal = tmp_path / "other", tmp_path / "causal"
    export(dac.convert(published(WIDE_BAND), WIDE_BAND), other)
    with pytest.raises(ModelMismatch, match="give the model of the file"):
        soundstream.decode_file(source, output, model=other)
    export(seanet.build(CAUSAL), causal)
    with pytest.raises(ModelMismatch, match="give the model of the file"):
        soundstream.decode_file(source, output, model=causal)
    assert not output.exists()


def test_codes_that_the_model_does_not_have_are_refused(codec):
    found = read_dac(GOLDEN / "dac-whole.dac")
    with pytest.raises(InvalidField, match="has the code 64"):
        list(dac_sound(replace(found, codes=found.codes * 0 + 64), codec.model, 24_000))
    with pytest.raises(ModelMismatch, match="7 codebooks, the model 6"):
        list(dac_sound(replace(found, codes=found.codes[:, [0, *range(6)]]), codec.model, 24_000))
    with pytest.raises(ModelMismatch, match="it says 90,000"):
        list(dac_sound(replace(found, num_samples=90_000), codec.model, 24_000))


@pytest.mark.parametrize("options", [{"start_s": 0.5}, {"conceal": True}, {"denoise": 0.5}], ids=str)
def test_what_means_nothing_there_is_refused(options, folder, tmp_path):
    with pytest.raises(ConfigError, match="decoded whole and as it is"):
        soundstream.decode_file(GOLDEN / "dac-whole.dac", tmp_path / "a.wav", model=folder, **options)


def test_an_output_stays_and_a_damaged_file_leaves_none(folder, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"mine")
    with pytest.raises(OutputError, match="--force"):
        soundstream.decode_file(GOLDEN / "dac-whole.dac", tmp_path / "a.wav", model=folder)
    (tmp_path / "b.dac").write_bytes((GOLDEN / "dac-whole.dac").read_bytes()[:-9])
    with pytest.raises(BitstreamError, match=r"b\.dac: the \.dac file ends too early"):
        soundstream.decode_file(tmp_path / "b.dac", tmp_path / "b.wav", model=folder)
    assert (tmp_path / "a.wav").read_bytes() == b"mine" and not (tmp_path / "b.wav").exists()


def test_a_name_may_lie(tmp_path, folder):
    (tmp_path / "a.dac").write_bytes(b"RIFF" + bytes(100))
    for words in (["info", tmp_path / "a.dac"], ["decode", tmp_path / "a.dac", "--model", folder]):
        assert isinstance(run(*words).exception, dac_format.BadMagic)
