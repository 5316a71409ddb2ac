"""What is measured of the denoise switch, and the noise reduction that it is compared with."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from soundstream import ConfigError, load
from soundstream.cli import main
from soundstream.evaluate import clips
from soundstream.evaluate.denoise import pictures as denoise_pictures
from soundstream.evaluate.denoise import report as denoise
from soundstream.evaluate.denoise import switching
from soundstream.evaluate.denoise.denoisers import DENOISERS
from soundstream.evaluate.denoise.report import DenoiseItem, System
from soundstream.evaluate.tables import TABLES
from soundstream.export.artifact import export
from soundstream.nn.families import build
from soundstream.nn.families.seanet import Config as SeanetConfig

RATE = 24_000
EXAMPLES = Path(__file__).parents[3] / "examples" / "clips"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """A model with the switch, which turns latents around."""
    torch.manual_seed(0)
    model = build(SeanetConfig(encoder_channels=4, decoder_channels=4, latent_dim=8, denoise=True))
    with torch.no_grad():
        model.film.gamma[:, 1] = -1
    folder = tmp_path_factory.mktemp("switched") / "artifact"
    export(model, folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    """Two clips of speech, one of music, one ambient; 1.2 s each."""
    for seed, name in enumerate(("speech/a", "speech/b", "music/c", "ambient/d")):
        path = tmp_path / "clips" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, RATE * 6 // 5), RATE)
    return tmp_path / "clips"


def test_noisy_speech_has_the_level_of_noise_that_its_name_says(folder):
    found = denoise.inputs(folder, 12)
    assert [*found] == ["0dB", "5dB", "10dB", "15dB", "clean", "music", "ambient"]
    for db in denoise.SNRS_DB:
        for item in found[f"{db}dB"]:
            noise = item.heard - item.clean
            assert 10 * np.log10(np.mean(item.clean**2) / np.mean(noise**2)) == pytest.approx(db, abs=0.01)
            assert item.name.endswith("+ambient/d")
    again = denoise.inputs(folder, 12)["5dB"]
    assert all(np.array_equal(a.heard, b.heard) for a, b in zip(found["5dB"], again, strict=True))


def test_a_pair_that_would_clip_is_turned_down_as_one():
    clean, noisy = clips.noisy_pair(np.full(100, 0.9, np.float32), np.tile([1.0, -1.0], 50).astype(np.float32), 0)
    assert np.abs(noisy).max() == pytest.approx(1)
    np.testing.assert_allclose(clean, 0.5, rtol=1e-6)


def test_a_class_that_is_missing_is_named(folder):
    (folder / "ambient" / "d.wav").unlink()
    with pytest.raises(ConfigError, match="no clips in a folder ambient/"):
        denoise.inputs(folder, 12)


def test_a_model_without_the_switch_is_refused(codec, folder):
    with pytest.raises(ConfigError, match="not trained to remove noise"):
        denoise.run(codec, folder, 1, lambda done, total: None)


@pytest.mark.parametrize("name", DENOISERS)
def test_denoisers_leave_speech_in_its_place_and_take_noise_away(name):
    pcm, rate = soundfile.read(EXAMPLES / "speech.flac", frames=4 * RATE, dtype="float32")
    noise = np.random.default_rng(0).normal(0, 0.01, len(pcm)).astype(np.float32)
    cleaned = DENOISERS[name](pcm + noise, rate)
    assert cleaned.shape == pcm.shape
    assert np.corrcoef(cleaned, pcm)[0, 1] > 0.9
    quiet = DENOISERS[name](noise, rate)[rate:-rate]
    assert np.std(quiet) < 0.5 * np.std(noise)


def test_a_system_denoises_then_codes(artifact):
    pcm = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    item, codec = DenoiseItem("noise", pcm, pcm, RATE), load(artifact)
    assert denoise.process(codec, item, System("noisy")) == (pcm, None)
    off, size = denoise.process(codec, item, System("off", 3000))
    on, _ = denoise.process(codec, item, System("on", 3000, 1.0))
    assert size == len(codec.encode(pcm, RATE, 3000))
    assert not np.array_equal(off, on)


def test_the_report_has_a_row_for_each_system_and_is_drawn(artifact, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(DENOISERS, "deep-filter", lambda pcm, rate: 0.5 * pcm)
    monkeypatch.setattr(denoise, "SPEECH_METRICS", ("log-mel",))
    monkeypatch.setattr(denoise, "METRICS", {"music": ("log-mel",), "ambient": ()})
    monkeypatch.setattr(denoise_pictures, "SHOWN", ("log-mel",))
    output, pictures = tmp_path / "denoise.json", tmp_path / "pictures"
    words = [str(folder), "-o", str(output), "--pictures", str(pictures), "--model", str(artifact), "--quiet"]
    monkeypatch.setattr(sys, "argv", ["soundstream", "eval-denoise", *words])
    main_without_exit()
    report = json.loads(output.read_text())
    rows = {(row["input"], row["system"]): row for row in report["rows"]}
    assert len(rows) == len(report["rows"]) == 13 + 3 * 4 + 3 * 2
    on = rows["5dB", "on:6000"]
    assert on["n"] == on["gains"]["log-mel"]["n"] == 2
    gain = on["means"]["log-mel"]["mean"] - rows["5dB", "off:6000"]["means"]["log-mel"]["mean"]
    assert on["gains"]["log-mel"]["mean"] == pytest.approx(gain)
    assert rows["5dB", "noisy"]["means"]["log-mel"]["mean"] == pytest.approx(1, abs=1) and not on["means"].get("pesq")
    assert report["switching"]["turns"] == 4
    assert {path.name for path in pictures.iterdir()} == {"denoise.png", "denoise_spectrograms.png"}
    table = TABLES["denoise"][1](["music"], {"denoise": report})
    assert "on:6000" in table and "5dB" not in table


def main_without_exit():
    try:
        main()
    except SystemExit as stop:
        assert not stop.code


def test_a_turn_without_effect_is_no_click(codec, monkeypatch):
    pcm = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    monkeypatch.setattr(switching, "_coded", lambda codec, pcm, bitrate, block, values: pcm[0])
    found = switching.switching(codec, [(pcm, RATE)], 3000)
    assert found.turns == 3 and found.ratio_max <= 1


def test_a_jump_at_a_turn_is_a_click(codec, monkeypatch):
    def coded(codec, pcm, bitrate, block, values):
        jump = np.arange(pcm.shape[1]) // block % 2 * (len(values) - 1)
        return pcm[0] + jump

    pcm = np.sin(np.arange(2 * RATE) * 0.01).astype(np.float32)
    monkeypatch.setattr(switching, "_coded", coded)
    assert switching.switching(codec, [(pcm, RATE)], 3000).ratio_p50 > 10
