import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import tiny
from soundstream.errors import ConfigError
from soundstream.train import checkpoint as ckpt
from soundstream.train.checkpoint import PARTS, Checkpoint, Progress, load, load_model, save

EARLY_DENOISER = ("denoiser.out.weight", "denoiser.out.bias")


class Interrupted(BaseException):
    """The program is ended here."""


def made(step=0, seed=0):
    """A state with something in every part."""
    return Checkpoint(
        codec=tiny.CONFIG,
        progress=Progress(step, skipped=3, fresh_from=1, discriminator_fresh_from=2),
        model=tiny.model(seed).state_dict(),
        average={"encoder.first.bias": torch.ones(8) * step, "quantizer.codebooks": tiny.noise(4, 16, 8, seed=5)},
        optimizer={"exp_avg.encoder.first.bias": tiny.noise(8), "step.encoder.first.bias": torch.tensor(float(step))},
        discriminator={"judges.0.weight": tiny.noise(4, 4)},
        discriminator_optimizer={"exp_avg_sq.judges.0.weight": tiny.noise(4, 4).square()},
        balancer={"mel": torch.tensor([3.0, 2.0])},
        settings={"seed": 4, "of another release": [1, 2]},
    )


def equal(a, b):
    """Whether two states hold the same tensors, to the last bit."""
    parts = [(getattr(a, part), getattr(b, part)) for part in PARTS]
    return all(x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x) for x, y in parts)


def nbytes(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


# writing and reading


def test_a_checkpoint_comes_back(tmp_path):
    written = made(step=7)
    save(tmp_path / "run/checkpoint", written)
    found = load(tmp_path / "run/checkpoint")
    assert (found.codec, found.progress, found.step) == (written.codec, written.progress, 7)
    assert found.settings == written.settings
    assert equal(found, written)


@pytest.mark.parametrize("piece", [3000, 20_000])
def test_a_large_state_is_written_in_pieces(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(ckpt, "PIECE_BYTES", piece)
    written = made(step=7)
    save(tmp_path / "checkpoint", written)
    assert len(list((tmp_path / "checkpoint").glob("model-*"))) > 1
    for path in (tmp_path / "checkpoint").glob("*.safetensors"):
        header = int.from_bytes(path.read_bytes()[:8], "little")
        assert path.stat().st_size - 8 - header <= piece
    assert equal(load(tmp_path / "checkpoint"), written)


def test_the_model_of_a_checkpoint_is_ready_for_inference(tmp_path):
    save(tmp_path / "checkpoint", dataclasses.replace(made(), average={}))
    model, audio = load_model(tmp_path / "checkpoint"), tiny.noise(1, 1, 400)
    assert not model.training
    assert torch.equal(model.encode(audio), tiny.model().encode(audio))


def test_the_model_of_a_checkpoint_is_the_average_if_there_is_one(tmp_path):
    written = made(step=7)
    save(tmp_path / "checkpoint", written)
    model = load_model(tmp_path / "checkpoint")
    assert (model.encoder.first.bias == 7).all()
    assert torch.equal(model.quantizer.codebooks, written.average["quantizer.codebooks"])
    assert torch.equal(model.decoder.first.weight, written.model["decoder.first.weight"])


def test_a_newer_checkpoint_takes_the_place_of_the_old_one(tmp_path):
    save(tmp_path / "checkpoint", made(step=1))
    save(tmp_path / "checkpoint", made(step=2, seed=1))
    assert load(tmp_path / "checkpoint").step == 2
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("call", range(len(PARTS) + 2))
def test_a_save_that_is_cut_off_leaves_a_checkpoint_behind(tmp_path, monkeypatch, call):
    save(tmp_path / "checkpoint", made(step=1))
    calls = iter(range(len(PARTS) + 2))

    def cut_off(function):
        def run(*args):
            if next(calls) == call:
                raise Interrupted
            return function(*args)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(ckpt, "save_file", cut_off(ckpt.save_file))
        patch.setattr(Path, "rename", cut_off(Path.rename))
        with pytest.raises(Interrupted):
            save(tmp_path / "checkpoint", made(step=2))
    assert load(tmp_path / "checkpoint").step in (1, 2)
    save(tmp_path / "checkpoint", made(step=3))
    assert load(tmp_path / "checkpoint").step == 3


FILES = ["run.json", *(f"{part}-1-of-1.safetensors" for part in PARTS)]


@pytest.mark.parametrize("missing", FILES)
def test_a_folder_that_lacks_a_file_is_not_a_checkpoint(tmp_path, missing):
    save(tmp_path / "checkpoint", made())
    (tmp_path / "checkpoint" / missing).unlink()
    with pytest.raises(ConfigError, match=f"not a checkpoint: it has no {missing}"):
        load(tmp_path / "checkpoint")


@pytest.mark.parametrize("damaged", FILES)
def test_a_damaged_file_is_named(tmp_path, damaged):
    save(tmp_path / "checkpoint", made())
    (tmp_path / "checkpoint" / damaged).write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=damaged):
        load(tmp_path / "checkpoint")


@pytest.mark.parametrize("change", [{"files": 3}, {"files": {"model": []}}, {"progress": {"stop": 1}}, {"codec": []}])
def test_a_run_json_that_makes_no_sense_is_refused(tmp_path, change):
    save(tmp_path / "checkpoint", made())
    path = tmp_path / "checkpoint/run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError):
        load(tmp_path / "checkpoint")


# smaller states


def test_a_portable_state_is_half_as_large_and_keeps_the_moments(tmp_path):
    written = made(step=7)
    save(tmp_path / "small", ckpt.portable(written))
    save(tmp_path / "whole", written)
    assert nbytes(tmp_path / "small") < 0.6 * nbytes(tmp_path / "whole")
    found = load(tmp_path / "small")
    assert found.progress == written.progress
    for part in PARTS:
        a, b = getattr(written, part), getattr(found, part)
        assert a.keys() == b.keys()
        for name, value in a.items():
            torch.testing.assert_close(b[name], value, atol=2e-3, rtol=8e-3)


def test_a_compact_state_holds_the_average_without_moments(tmp_path):
    written = made(step=7)
    save(tmp_path / "small", ckpt.compact(written))
    found = load(tmp_path / "small")
    assert (found.progress, found.codec) == (written.progress, written.codec)
    assert (found.average, found.optimizer, found.discriminator_optimizer) == ({}, {}, {})
    assert found.discriminator.keys() == written.discriminator.keys()
    best = written.model | written.average
    best["quantizer.sums"] = best["quantizer.codebooks"] * best["quantizer.usage"][..., None]
    assert found.model.keys() == best.keys()
    for name, value in best.items():
        torch.testing.assert_close(found.model[name], value, atol=4e-3, rtol=2e-3)


def test_a_copy_stays_as_it_is(tmp_path):
    state = made()
    copy = state.clone()
    state.model["encoder.first.bias"].add_(1)
    assert not equal(copy, state)
    assert equal(copy, made())


# of earlier releases


def test_a_checkpoint_of_the_first_release_loads(tmp_path):
    model = {name: value.half() for name, value in tiny.model().state_dict().items() if name != ckpt.SUMS}
    codec = {name: value for name, value in tiny.CONFIG.to_dict().items() if name != "family"}
    settings = {"codec": codec, "batch_size": 8, "a setting that is gone": 1}
    (tmp_path / "run.json").write_text(json.dumps({"step": 4147, "config": settings}))
    save_file(model, tmp_path / "model.safetensors")
    save_file({"exp_avg.encoder.first.bias": torch.ones(8)}, tmp_path / "optimizer.safetensors")
    found = load(tmp_path)
    assert (found.step, found.codec, found.settings) == (4147, tiny.CONFIG, settings)
    assert found.optimizer.keys() == {"exp_avg.encoder.first.bias"}
    load_model(tmp_path)


def test_a_denoiser_of_features_makes_way_for_a_fresh_one(tmp_path):
    codec = dataclasses.replace(tiny.SPECTRAL, denoise=False)
    model = tiny.model(config=codec).state_dict()
    early = {name: torch.ones(2 * codec.features, *model[name].shape[1:]) for name in EARLY_DENOISER}
    moments = {f"exp_avg.{name}": value for name, value in early.items()} | {
        "exp_avg.encoder.first.bias": torch.ones(1)
    }
    settings = {"data": {"denoise_probability": 1.0, "noises": 3}}
    save(tmp_path, Checkpoint(codec, Progress(step=3), model | early, {}, moments, settings=settings))
    found, loaded = load(tmp_path), load_model(tmp_path)
    assert found.optimizer.keys() == {"exp_avg.encoder.first.bias"} and not loaded.config.denoise
    assert found.settings == {"data": {"denoise_probability": 0.0, "noises": 3}}
    kept = [name for name in model if not name.startswith("denoiser.")]
    assert all(torch.equal(loaded.state_dict()[name], model[name]) for name in kept)


def test_a_denoiser_of_today_stays(tmp_path):
    model = tiny.model(config=tiny.SPECTRAL)
    save(tmp_path, Checkpoint(tiny.SPECTRAL, Progress(), model.state_dict()))
    assert torch.equal(load(tmp_path).model["denoiser.out.bias"], model.denoiser.out.bias)
