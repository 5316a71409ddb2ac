"""Fitting codes of levels to a codec: what they are fitted to, and that decoded levels come nearer."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

import tiny
from soundstream import load
from soundstream.cli import main
from soundstream.errors import ConfigError
from soundstream.export.artifact import export
from soundstream.nn.families.spectral import LEVEL_PLACE
from soundstream.release.levels import fitted
from soundstream.runtime.artifact import load_artifact
from soundstream.runtime.model import Model
from soundstream.runtime.stream import CodeStream, DecoderStream, LatentStream
from soundstream.train import checkpoint as ckpt
from soundstream.train.checkpoint import Checkpoint, Progress
from soundstream.train.levels_fit import UNIT_DB, LevelClip, LevelFitConfig, fit_codebook, lacking, levels_db

EDGES_HZ = np.array([0, 300, 1000, 4000], np.float32)
SHORT = LevelFitConfig(steps=60, crops=4, crop_frames=48, rounds=2)


@pytest.fixture
def sounds(tmp_path):
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", tiny.clip(3, seed=i), 8000)
    return tmp_path


def state(config=tiny.SPECTRAL):
    return Checkpoint(config, Progress(step=7), tiny.model(config=config).state_dict())


def tone(hz, level=0.3, seconds=1.0):
    return (level * np.sin(2 * np.pi * hz * np.arange(int(8000 * seconds)) / 8000)).astype(np.float32)


def test_levels_are_those_of_the_band_that_a_tone_is_in():
    quiet, loud = (levels_db(tone(600, level), 200, EDGES_HZ, 8000, 40) for level in (0.03, 0.3))
    np.testing.assert_allclose((loud - quiet)[20:, 1], 20, atol=0.1)
    assert (loud[20:, 1] > loud[20:, [0, 2]].max(axis=1) + 20).all()


def test_no_level_depends_on_what_comes_after_its_frame():
    whole, cut = tone(600), tone(600)
    cut[4000:] = 0
    levels = [levels_db(pcm, 200, EDGES_HZ, 8000, 40) for pcm in (whole, cut)]
    np.testing.assert_array_equal(levels[0][:100], levels[1][:100])
    assert (levels[0][100:110] != levels[1][100:110]).any()


def test_gains_are_what_levels_lack_and_inaudible_ones_lack_nothing():
    wanted = np.full((40, 2), 30.0, np.float32)
    wanted[20:, 1] = -60
    gains, weights = lacking(wanted, wanted - np.array([6, 3], np.float32))
    assert gains[19] * UNIT_DB == pytest.approx([6, 3], abs=0.01)
    assert abs(gains[-1, 1]) < 0.01 and weights[-1, 1] == pytest.approx(0.1) and weights[0, 0] == 1


def test_the_codebook_covers_gains_in_the_loop_and_keeps_a_zero():
    model = tiny.model(config=tiny.LEVELS)
    stage = model.level_stage
    channels = stage.network.first.in_channels
    clips = [
        LevelClip(tiny.noise(channels, 120, seed=i), torch.zeros(stage.bands, 120), torch.ones(1)) for i in range(8)
    ]
    fit_codebook(stage, clips, SHORT, lambda text: None)
    with torch.no_grad():
        gains = torch.cat([stage.network(clip.seen[None, :, None])[:, :, 0] for clip in clips])
    total, left = torch.zeros_like(gains[..., 0]), 0.0
    for frame, codes in enumerate(stage.encode(gains).T):
        total = 0.7 * total + stage.codebook[codes]
        left += float((gains[..., frame] - total).square().mean()) / gains.shape[2]
    assert left < 0.65 * float(gains.square().mean())
    assert not stage.codebook[0].any()


def test_decoded_levels_come_nearer_to_those_of_the_sound(sounds, tmp_path):
    after = fitted(state(), [sounds], 0.3, SHORT, lambda text: None)
    model = tiny.model(config=after.codec)
    model.load_state_dict(after.model)
    export(model, tmp_path / "codec")
    runtime = Model(load_artifact(tmp_path / "codec"))
    pcm = tiny.clip(2, seed=1).astype(np.float32)[None] / 32767
    codes = CodeStream(runtime, 1).push(LatentStream(runtime, 1).push(pcm), 5)
    silent = codes.copy()
    silent[:, LEVEL_PLACE] = 0
    edges = np.array(after.codec.level_edges, np.float32) * 100
    wanted = levels_db(pcm[0], codes.shape[2], edges, 8000, 40)
    errors = []
    for rows in (silent, codes):
        sound = DecoderStream(runtime, 1).push(rows)[0, tiny.SPECTRAL.overlap :]
        gains, weights = lacking(wanted, levels_db(sound, codes.shape[2], edges, 8000, 40))
        errors.append(float((weights * gains**2).sum() / weights.sum()))
    assert errors[1] < 0.7 * errors[0], errors


def test_the_codec_stays_as_it_is(sounds):
    before = state()
    after = fitted(before, [sounds], 0.1, replace(SHORT, steps=2), lambda text: None)
    assert after.codec == replace(tiny.SPECTRAL, level_codes=True) and after.step == 7
    for name, tensor in before.model.items():
        torch.testing.assert_close(after.model[name], tensor, rtol=0, atol=0)


def test_other_families_are_refused(sounds):
    with pytest.raises(ConfigError, match="the seanet family has no codes of levels"):
        fitted(state(tiny.CONFIG), [sounds], 0.1, SHORT, lambda text: None)


def test_no_audio_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no audio to fit levels to"):
        fitted(state(), [tmp_path], 0.1, SHORT, lambda text: None)


def test_the_command_writes_a_state_that_exports(sounds, tmp_path, monkeypatch):
    ckpt.save(tmp_path / "state", state())
    words = ["fit-levels", tmp_path / "state", "-o", tmp_path / "levels", "--data", sounds, "--minutes", "0.1"]
    monkeypatch.setattr(sys, "argv", ["soundstream", *map(str, words), "--steps", "2"])
    with pytest.raises(SystemExit, match="0"):
        main()
    export(ckpt.load_model(tmp_path / "levels"), tmp_path / "codec")
    codec = load(tmp_path / "codec")
    assert codec.spec.num_quantizers == 5
    pcm = tiny.clip(1).astype(np.float32)[None] / 32767
    decoded, _ = codec.decode(codec.encode(pcm, 8000, codec.spec.bitrate(5)))
    assert decoded.shape == pcm.shape
