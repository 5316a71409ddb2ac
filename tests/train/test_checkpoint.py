import json
from pathlib import Path

import pytest
import torch

import tiny
from soundstream.errors import ConfigError
from soundstream.train import checkpoint as ckpt
from soundstream.train.checkpoint import Checkpoint, load, load_model, save


class Interrupted(BaseException):
    """The program is ended here."""


def made(step=0, seed=0):
    state = tiny.model(seed).state_dict()
    return Checkpoint(tiny.RUN, step, state, {"exp_avg.encoder.first.bias": torch.ones(8) * step})


def test_a_checkpoint_comes_back(tmp_path):
    written = made(step=7)
    save(tmp_path / "run/checkpoint", written)
    found = load(tmp_path / "run/checkpoint")
    assert (found.config, found.step) == (written.config, 7)
    for a, b in ((found.model, written.model), (found.optimizer, written.optimizer)):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_model_of_a_checkpoint_is_ready_for_inference(tmp_path):
    save(tmp_path / "checkpoint", made())
    model, audio = load_model(tmp_path / "checkpoint"), tiny.noise(1, 1, 400)
    assert not model.training
    assert torch.equal(model.encode(audio), tiny.model().encode(audio))


def test_a_newer_checkpoint_takes_the_place_of_the_old_one(tmp_path):
    save(tmp_path / "checkpoint", made(step=1))
    save(tmp_path / "checkpoint", made(step=2, seed=1))
    assert load(tmp_path / "checkpoint").step == 2
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("call", range(4), ids=["model", "optimizer", "first rename", "second rename"])
def test_a_save_that_is_cut_off_leaves_a_checkpoint_behind(tmp_path, monkeypatch, call):
    save(tmp_path / "checkpoint", made(step=1))
    calls = iter(range(4))

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


@pytest.mark.parametrize("missing", ["run.json", "model.safetensors", "optimizer.safetensors"])
def test_a_folder_that_lacks_a_file_is_not_a_checkpoint(tmp_path, missing):
    save(tmp_path / "checkpoint", made())
    (tmp_path / "checkpoint" / missing).unlink()
    with pytest.raises(ConfigError, match=f"not a checkpoint: it has no {missing}"):
        load(tmp_path / "checkpoint")


@pytest.mark.parametrize("damaged", ["run.json", "model.safetensors", "optimizer.safetensors"])
def test_a_damaged_file_is_named(tmp_path, damaged):
    save(tmp_path / "checkpoint", made())
    (tmp_path / "checkpoint" / damaged).write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=damaged):
        load(tmp_path / "checkpoint")


def test_a_checkpoint_holds_its_whole_config(tmp_path):
    save(tmp_path / "checkpoint", made())
    assert json.loads((tmp_path / "checkpoint/run.json").read_text())["config"]["codec"]["latent_dim"] == 8


def test_a_compact_state_is_small_and_trains_on(tmp_path):
    written = made(step=7)
    save(tmp_path / "small", ckpt.compact(written))
    found = load(tmp_path / "small")
    assert (found.step, found.config, found.optimizer) == (7, written.config, {})
    assert found.model.keys() == written.model.keys()
    for name, tensor in written.model.items():
        torch.testing.assert_close(found.model[name], tensor, atol=1e-3, rtol=2e-3)
    save(tmp_path / "full", written)
    sizes = [(tmp_path / folder / "model.safetensors").stat().st_size for folder in ("small", "full")]
    assert sizes[0] < 0.6 * sizes[1]
