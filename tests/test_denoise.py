"""The denoise switch where a user meets it: the library, the command line, and which models have it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile
import torch

import tiny
from soundstream import Codec, ConfigError, load
from soundstream.export.artifact import export
from soundstream.nn.families import build, config_of
from soundstream.nn.families.seanet import Config as SeanetConfig
from soundstream.train.checkpoint import Checkpoint, Progress, load_model, save

Command = Callable[[list, Path], CompletedProcess]

NOISE = np.random.default_rng(0).normal(0, 0.1, (2, 30_001)).astype(np.float32)


def turning(folder: Path, film: str) -> Path:
    """A model with the switch, which turns latents around, on one side of the quantizer."""
    torch.manual_seed(0)
    shape = {"encoder_channels": 4, "decoder_channels": 4, "latent_dim": 8, "num_quantizers": 8}
    model = build(SeanetConfig(**shape, denoise=True, film=film))
    with torch.no_grad():
        model.film.gamma[:, 1] = -1
    export(model, folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return turning(tmp_path_factory.mktemp("switched") / "artifact", "encoder")


@pytest.fixture(scope="module")
def switched(folder: Path) -> Codec:
    return load(folder)


def test_encode_has_the_switch_and_it_is_off_by_default(switched: Codec) -> None:
    off, half, on = (switched.encode(NOISE, 44_100, 3000, denoise=value) for value in (0.0, 0.5, 1.0))
    assert off == switched.encode(NOISE, 44_100, 3000)
    assert len({off, half, on}) == 3
    assert switched.decode(on)[0].shape == NOISE.shape


def test_bytes_hold_the_codes_of_to_codes(switched: Codec) -> None:
    decoded, _ = switched.decode(switched.encode(NOISE, 24_000, 3000, denoise=0.7))
    expected = switched.from_codes(switched.to_codes(NOISE, 24_000, 3000, denoise=0.7))
    np.testing.assert_allclose(decoded, expected[:, : NOISE.shape[1]], rtol=0, atol=1e-5)


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_values_out_of_range_are_refused(switched: Codec, value: float) -> None:
    with pytest.raises(ConfigError, match=f"denoise is {value}; expected 0 to 1"):
        switched.encode(NOISE, 44_100, denoise=value)


def test_a_model_without_the_switch_says_so(codec: Codec) -> None:
    with pytest.raises(ConfigError, match="not trained to remove noise"):
        codec.encode(NOISE, 44_100, denoise=1.0)


@pytest.mark.parametrize("change", [{"denoise": 1}, {"denoise": "yes"}, {"denoise": True, "condition_dim": 1}], ids=str)
def test_a_config_has_the_switch_or_not(change: dict) -> None:
    with pytest.raises(ConfigError, match="denoise is"):
        config_of(change)


@pytest.fixture(scope="module")
def listening_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return turning(tmp_path_factory.mktemp("listener") / "artifact", "decoder")


@pytest.fixture(scope="module")
def listener(listening_folder: Path) -> Codec:
    return load(listening_folder)


def test_with_the_switch_in_the_decoder_one_file_decodes_either_way(listener: Codec) -> None:
    data = listener.encode(NOISE, 24_000, 3000)
    off, on = (listener.decode(data, denoise=value)[0] for value in (0.0, 1.0))
    np.testing.assert_array_equal(off, listener.decode(data)[0])
    assert np.abs(off - on).max() > 1e-3
    damaged = listener.decode(data, damage=[], denoise=1.0)[0]
    np.testing.assert_allclose(damaged, on, rtol=0, atol=1e-6)


def test_a_live_decoder_has_the_switch_too(listener: Codec) -> None:
    encoder = listener.open_encoder(24_000, 2, 3000)
    packets = [*encoder.push(NOISE), *encoder.flush()]
    sounds = []
    for value in (0.0, 1.0):
        decoder = listener.open_decoder(24_000, 2, denoise=value)
        sounds.append(np.concatenate([decoder.push(packet) for packet in packets], axis=1))
    assert np.abs(sounds[0] - sounds[1]).max() > 1e-3


def test_the_other_side_of_the_switch_is_named(switched: Codec, listener: Codec) -> None:
    with pytest.raises(ConfigError, match="its decoder does"):
        listener.encode(NOISE, 24_000, 3000, denoise=1.0)
    with pytest.raises(ConfigError, match="its encoder does"):
        switched.decode(switched.encode(NOISE, 24_000, 3000), denoise=1.0)


def test_decode_on_the_command_line_has_the_switch(
    listener: Codec, listening_folder: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "x.nac").write_bytes(listener.encode(NOISE, 24_000, 3000))
    for name, value in (("off", "0"), ("on", "1")):
        words = ("-o", f"{name}.wav", "--denoise", value, "--model", str(listening_folder))
        assert command(["decode", "x.nac", *words], tmp_path).returncode == 0
    off, on = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("off", "on"))
    assert np.abs(off - on).max() > 1e-3


def test_a_config_of_earlier_releases_has_no_switch() -> None:
    earlier = SeanetConfig().to_dict()
    del earlier["denoise"]
    assert config_of(earlier).denoise is False


@pytest.mark.parametrize(("settings", "has_it"), [({"denoise_probability": 0.3}, True), ({}, False)])
def test_the_model_of_a_run_has_the_switch_if_the_run_trained_it(tmp_path: Path, settings: dict, has_it: bool) -> None:
    state = Checkpoint(tiny.CONFIG, Progress(), tiny.model().state_dict(), settings={"data": settings})
    save(tmp_path / "checkpoint", state)
    assert load_model(tmp_path / "checkpoint").config == dataclasses.replace(tiny.CONFIG, denoise=has_it)


@pytest.mark.parametrize("rate", [[], ["--vbr"]], ids=["constant", "variable"])
def test_the_command_line_has_the_switch(
    switched: Codec, folder: Path, tmp_path: Path, command: Command, rate: list[str]
) -> None:
    soundfile.write(tmp_path / "talk.wav", NOISE.T, 44_100, subtype="FLOAT")
    model = ["--model", str(folder), *rate]
    for name, words in {"off": [], "on": ["--denoise", "1"]}.items():
        done = command(["encode", "talk.wav", "-o", f"{name}.nac", "--bitrate", "3000", *words, *model], tmp_path)
        assert done.returncode == 0, done.stderr
    off, on = ((tmp_path / f"{name}.nac").read_bytes() for name in ("off", "on"))
    assert off != on
    if not rate:
        assert on == switched.encode(NOISE, 44_100, 3000, denoise=1.0)


def test_a_model_without_the_switch_leaves_no_file(tiny_artifact: Path, tmp_path: Path, command: Command) -> None:
    soundfile.write(tmp_path / "talk.wav", NOISE.T, 44_100)
    done = command(["encode", "talk.wav", "--denoise", "1", "--model", tiny_artifact], tmp_path)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"error: this model was not trained to remove noise" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["talk.wav"]
