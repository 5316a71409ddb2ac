import builtins
import json
import math

import numpy as np
import pytest
import soundfile
import torch

import tiny
from soundstream.train.validation import FRESH_USAGE, Validator, effective_rank, perplexity

HOP = tiny.CONFIG.hop_length


def clips(count=3, frames=70):
    pcm = np.stack([tiny.clip(2, seed) for seed in range(count)]).astype(np.float32) / 32768
    return torch.from_numpy(pcm)[:, None, : frames * HOP + 7]


@pytest.fixture
def model():
    return tiny.model()


@pytest.fixture
def validator():
    return Validator(clips(), tiny.CONFIG)


def test_every_figure_of_the_log_is_there_and_finite(model, validator):
    entry = validator(model)
    kinds = ("snr_db", "mel_log", "harmonics_low", "harmonics_middle")  # at 8 kHz there is no high band
    figures = {f"{kind}_{n}" for kind in kinds for n in (1, 2, 4)}
    assert set(entry) == {"rank", "latent_std", "perplexity", "dead"} | figures
    lists = entry["perplexity"], entry["dead"]
    assert all(math.isfinite(value) for key, value in entry.items() if key not in ("perplexity", "dead"))
    assert all(len(found) == tiny.CONFIG.num_quantizers for found in lists)
    assert json.loads(json.dumps(entry)) == entry


@pytest.mark.parametrize(("late", "fits"), [(20, True), (21, False)])
def test_a_perfect_copy_that_comes_late_by_the_delay_has_no_distance(model, monkeypatch, late, fits):
    monkeypatch.setattr(type(tiny.CONFIG), "delay_samples", 20)
    validator = Validator(clips(), tiny.CONFIG)
    copy = torch.nn.functional.pad(validator.clips, (late, 0))[..., :-late]
    monkeypatch.setattr(model, "decode", lambda latents, condition: copy)
    entry = validator(model)
    assert (entry["mel_log_1"] == 0) is fits
    assert (entry["snr_db_4"] > 60) is fits
    assert entry["harmonics_low_4"] > 0.99


def test_harmonics_are_those_of_the_voices(model, validator):
    each = [Validator(clips(), tiny.CONFIG, [i])(model)["harmonics_low_4"] for i in range(3)]
    assert validator(model)["harmonics_low_4"] == pytest.approx(np.mean(each), abs=1e-3)
    assert len(set(each)) == 3


def test_a_band_without_an_answer_is_left_out(model):
    entry = Validator(torch.zeros(2, 1, 2800), tiny.CONFIG)(model)
    assert not [name for name in entry if name.startswith("harmonics")]


def test_an_entry_is_dead_when_it_has_no_more_than_it_started_with(model, validator):
    model.quantizer.usage[:] = 100
    model.quantizer.usage[1, 3:8] = FRESH_USAGE
    assert validator(model)["dead"] == [0, 5, 0, 0]


def test_validation_leaves_the_weights_and_the_random_numbers_alone(model, validator):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    validator(model.train())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_original_and_decoded_audio_and_their_picture_are_written(model, validator, tmp_path):
    assert validator.write(model, tmp_path, 50) is None
    names = {f"clip{i:02}_{version}.flac" for i in range(3) for version in ("original", "3200bps")}
    assert {path.name for path in (tmp_path / "50").iterdir()} == names | {"spectrograms.png"}
    pcm, rate = soundfile.read(tmp_path / "50" / "clip01_original.flac")
    assert rate == tiny.CONFIG.sample_rate and len(pcm) == 70 * HOP
    assert np.abs(pcm - clips()[1, 0, : len(pcm)].numpy()).max() < 1e-4
    decoded, _ = soundfile.read(tmp_path / "50" / "clip01_3200bps.flac")
    assert len(decoded) == len(pcm) and decoded.std() > 0
    assert (tmp_path / "50" / "spectrograms.png").stat().st_size > 10_000


def test_the_first_step_and_the_newest_three_stay(model, validator, tmp_path, monkeypatch):
    monkeypatch.setattr("soundstream.analysis.drawing.spectrograms", lambda path, rows: None)
    for step in (5, 10, 100, 20, 1000):
        validator.write(model, tmp_path, step)
    assert {path.name for path in tmp_path.iterdir()} == {"5", "20", "100", "1000"}


def test_without_matplotlib_there_is_audio_and_a_reason(model, validator, tmp_path, monkeypatch):
    plain = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "soundstream.analysis.drawing":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    said = validator.write(model, tmp_path, 1)
    assert said.startswith("no spectrograms") and "soundstream-codec[plot]" in said
    assert {path.suffix for path in (tmp_path / "1").iterdir()} == {".flac"}


@pytest.mark.parametrize(("weights", "entries"), [([1, 1, 1, 1], 4), ([5, 5, 0, 0], 2), ([0, 0, 3, 0], 1)])
def test_perplexity_is_the_number_of_entries_in_use(weights, entries):
    assert perplexity(torch.tensor(weights).float()) == pytest.approx(entries, rel=1e-4)


def test_effective_rank_is_the_number_of_directions():
    basis = torch.linalg.qr(tiny.noise(8, 3))[0]
    latents = (basis @ tiny.noise(3, 4000, scale=1))[None] + 5
    assert effective_rank(latents) == pytest.approx(3, rel=0.02)
