"""Fitting codes of levels to a codec: what they are fitted to, and that decoded levels come nearer."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

import tiny
from soundstream import load
from soundstream.analysis.band_levels import AUDIBLE_DB, Lack, LevelMeter
from soundstream.cli import main
from soundstream.errors import ConfigError
from soundstream.export.artifact import export
from soundstream.nn.families.spectral import LEVEL_PLACE
from soundstream.release.levels import fitted
from soundstream.runtime.artifact import load_artifact
from soundstream.runtime.model import Model
from soundstream.runtime.stream import DecoderStream, LatentStream, new_code_stream
from soundstream.train import checkpoint as ckpt
from soundstream.train.checkpoint import Checkpoint, Progress
from soundstream.train.levels_fit import WEIGHTED_DB, LevelClip, LevelFitConfig, fit_codebook, with_level_codes

SHORT = LevelFitConfig(steps=60, crops=4, crop_frames=48, rounds=2)


@pytest.fixture
def sounds(tmp_path):
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", tiny.clip(3, seed=i), 8000)
    return tmp_path


def state(config=tiny.SPECTRAL):
    return Checkpoint(config, Progress(step=7), tiny.model(config=config).state_dict())


def levels_db(codec, pcm, frames):
    return LevelMeter(codec.level_edges, 8000, 40).first(pcm, frames)


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
    codes = new_code_stream(runtime, 1).push(LatentStream(runtime, 1).push(pcm), 5)
    silent = codes.copy()
    silent[:, LEVEL_PLACE] = 0
    wanted = levels_db(after.codec, pcm[0], codes.shape[2])
    weights = np.clip((wanted - wanted.max(axis=0) + AUDIBLE_DB) / WEIGHTED_DB, 0.1, 1)
    errors = []
    for rows in (silent, codes):
        sound = DecoderStream(runtime, 1).push(rows)[0, tiny.SPECTRAL.overlap :]
        lacking = Lack(wanted.shape[1], wanted.max(axis=0)).push(wanted, levels_db(after.codec, sound, codes.shape[2]))
        errors.append(float((weights * lacking**2).sum() / weights.sum()))
    assert errors[1] < 0.7 * errors[0], errors


def test_the_codec_stays_as_it_is(sounds):
    before = state()
    after = fitted(before, [sounds], 0.1, replace(SHORT, steps=2), lambda text: None)
    assert after.codec == replace(tiny.SPECTRAL, level_codes=True) and after.step == 7
    for name, tensor in before.model.items():
        torch.testing.assert_close(after.model[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("before, asked, after", [(False, False, False), (False, True, True), (True, False, True)])
def test_random_signs_come_when_asked_for_and_stay(before, asked, after):
    found = with_level_codes(state(replace(tiny.SPECTRAL, random_signs=before)), asked)
    assert found.config.random_signs is after


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
