import dataclasses
import itertools
import json
import math
import signal
from types import SimpleNamespace

import pytest
import torch

import tiny
from soundstream.train import checkpoint as ckpt
from soundstream.train import loop
from soundstream.train.config import TrainConfig
from soundstream.train.loop import Trainer, effective_rank, learning_rate, perplexity

OFFSETS = {"encoder.last.bias", "film.beta"}
"""Added to all latents of a channel alike, which the normalizer takes out again: they have no gradient."""


@pytest.fixture
def trainer(tmp_path):
    """Makes a trainer of the tiny model, with changes to its run."""

    def make(resume=None, folder="run", **changes):
        config = dataclasses.replace(tiny.RUN, **changes)
        return Trainer(config, tiny.corpus(), tiny.corpus(), tmp_path / folder, resume)

    return make


def parameters(trainer):
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def entries(trainer):
    return [json.loads(line) for line in (trainer.run / "log.jsonl").read_text().splitlines()]


# a step


def test_offsets_of_the_latents_have_no_gradient(trainer):
    run = trainer()
    run.train_step()
    gradients = {name: float(p.grad.norm()) for name, p in run.model.named_parameters()}
    assert gradients["film.gamma"] > 1e-3
    assert all(gradients[name] < 1e-4 * gradients["film.gamma"] for name in OFFSETS)


@pytest.mark.parametrize("quantize_from_step", [9, 0], ids=["warm-up", "with the quantizer"])
def test_one_step_keeps_every_figure_finite_and_moves_every_parameter_that_has_a_gradient(trainer, quantize_from_step):
    run = trainer(quantize_from_step=quantize_from_step)
    before = parameters(run)
    entry = run.train_step()
    assert all(math.isfinite(value) for value in entry.values())
    assert entry["step"] == run.step == 1
    after = parameters(run)
    assert {name for name in before if torch.equal(before[name], after[name])} <= OFFSETS
    assert all(value.isfinite().all() for value in after.values())


def test_only_the_denoise_half_of_film_stays_as_it_was(trainer):
    run = trainer()
    run.train_step()
    after = parameters(run)
    assert (after["film.gamma"][:, 0] != 1).all()
    assert (after["film.gamma"][:, 1] == 1).all()
    assert (after["film.beta"][:, 1] == 0).all()


def test_the_log_names_each_loss_and_its_gradient(trainer):
    assert set(trainer().train_step()) == {
        *("step", "waveform", "mel_relative", "mel_log", "commitment"),
        *("gradient_norm", "gradient_waveform", "gradient_mel"),
    }


def test_the_codebooks_start_by_k_means_at_their_step(trainer):
    run = trainer(quantize_from_step=1)
    start = run.model.quantizer.codebooks.clone()
    assert run.train_step()["commitment"] == 0
    assert torch.equal(run.model.quantizer.codebooks, start)
    assert run.train_step()["commitment"] > 0
    assert not torch.equal(run.model.quantizer.codebooks, start)


def test_a_few_steps_learn_a_batch_by_heart(trainer, monkeypatch):
    run = trainer(total_steps=20, quantize_from_step=10, shift_steps=(100, 200), learning_rate=5e-3)
    batch = run.crops.draw(0)
    monkeypatch.setattr(run.crops, "draw", lambda step: batch)
    losses = [run.train_step()["waveform"] for _ in range(20)]
    assert losses[-1] < 0.7 * losses[0]


# resuming


@pytest.mark.parametrize("quantize_from_step", [0, 1, 2, 3, 4])
def test_four_steps_equal_two_saved_and_resumed_two(trainer, quantize_from_step):
    whole = trainer(folder="whole", quantize_from_step=quantize_from_step)
    entries = [whole.train_step() for _ in range(4)]
    first = trainer(folder="first", quantize_from_step=quantize_from_step)
    again = [first.train_step(), first.train_step()]
    first.save()
    resumed = trainer(ckpt.load(first.run / "checkpoint"), "second", quantize_from_step=quantize_from_step)
    assert resumed.step == 2
    again += [resumed.train_step(), resumed.train_step()]
    assert again == entries
    for a, b in (
        (whole.model.state_dict(), resumed.model.state_dict()),
        (ckpt.optimizer_state(whole.model, whole.optimizer), ckpt.optimizer_state(resumed.model, resumed.optimizer)),
    ):
        assert a.keys() == b.keys()
        assert {name for name in a if not torch.equal(a[name], b[name])} == set()


def test_a_state_without_the_optimizer_is_warmed_up_again(trainer):
    first = trainer(folder="first", total_steps=9)
    for _ in range(3):
        first.train_step()
    first.save()
    ckpt.save(first.run / "small", ckpt.compact(ckpt.load(first.run / "checkpoint")))
    resumed = trainer(ckpt.load(first.run / "small"), "second", total_steps=9)
    resumed.train_step()
    assert resumed.optimizer.param_groups[0]["lr"] == pytest.approx(tiny.RUN.learning_rate / tiny.RUN.warmup_steps)


def test_the_state_of_the_optimizer_is_kept_by_name(trainer):
    run = trainer()
    run.train_step()
    names = {f"{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq") for name in parameters(run)}
    assert set(ckpt.optimizer_state(run.model, run.optimizer)) == names


def test_validation_in_between_does_not_change_the_run(trainer):
    plain = trainer(folder="plain")
    for _ in range(4):
        plain.train_step()
    watched = trainer(folder="watched")
    for _ in range(4):
        watched.train_step()
        watched.validate_and_save(lambda entry: None)
    states = plain.model.state_dict(), watched.model.state_dict()
    assert {name for name in states[0] if not torch.equal(states[0][name], states[1][name])} == set()


# fit


def test_fit_ends_at_the_last_step_and_saves(trainer):
    run = trainer(total_steps=3)
    run.fit()
    assert run.step == 3
    assert ckpt.load(run.run / "checkpoint").step == 3
    assert entries(run)[-1]["step"] == 3


def clock(seconds_a_look):
    """A clock that goes on by so many seconds each time it is looked at."""
    return SimpleNamespace(monotonic=itertools.count(0.0, seconds_a_look).__next__)


def test_fit_stops_at_the_time_limit_and_saves(trainer, monkeypatch):
    monkeypatch.setattr(loop, "time", clock(1.0))
    run = trainer(total_steps=1000)
    run.fit(time_limit_s=10.0)
    assert 1 <= run.step < 10
    assert ckpt.load(run.run / "checkpoint").step == run.step


def test_no_time_left_means_no_step(trainer):
    run = trainer(total_steps=2)
    run.fit(time_limit_s=0.0)
    assert run.step == 0


def test_a_request_to_stop_ends_the_run_after_its_step_and_saves(trainer, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 3)
    run = trainer(total_steps=1000)
    run.fit(report=lambda entry: signal.raise_signal(signal.SIGINT) if run.step == 3 else None)
    assert run.step == 3
    assert ckpt.load(run.run / "checkpoint").step == 3


def test_fit_leaves_the_signal_handlers_as_they_were(trainer):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        trainer(total_steps=1).fit()
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_fit_validates_now_and_then(trainer, monkeypatch):
    monkeypatch.setattr(loop, "time", clock(1.0))
    run, seen = trainer(total_steps=4), []
    run.fit(validate_every_s=5.0, report=seen.append)
    assert seen == entries(run)
    assert 2 <= sum("snr_db_1" in entry for entry in seen) <= 4


def test_training_figures_are_logged_every_few_steps(trainer, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 2)
    run = trainer(total_steps=4)
    run.fit()
    assert [entry["step"] for entry in entries(run) if "waveform" in entry] == [2, 4]


def test_validation_gives_snr_and_mel_distance_by_codebooks_in_use(trainer):
    run = trainer(quantize_from_step=0)
    run.train_step()
    entry = run.validate()
    figures = {f"{kind}_{n}" for kind in ("snr_db", "mel_log") for n in (1, 2, 4)}
    assert set(entry) == {"step", "rank", "latent_std", "perplexity"} | figures
    assert all(math.isfinite(value) for key, value in entry.items() if key != "perplexity")
    assert len(entry["perplexity"]) == tiny.CONFIG.num_quantizers
    assert all(1 <= value <= tiny.CONFIG.codebook_size for value in entry["perplexity"])
    assert 1 <= entry["rank"] <= tiny.CONFIG.latent_dim
    json.dumps(entry)


# figures


def test_the_learning_rate_rises_stays_and_falls():
    config = TrainConfig(learning_rate=1.0, warmup_steps=4, total_steps=20, decay_steps=5)
    rates = [learning_rate(config, step) for step in range(21)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1, 1]
    assert rates[4:16] == [1] * 12
    assert rates[16:] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0])


def test_without_warm_up_and_decay_the_learning_rate_is_constant():
    config = TrainConfig(learning_rate=0.5, warmup_steps=0, total_steps=3, decay_steps=0)
    assert [learning_rate(config, step) for step in range(3)] == [0.5] * 3


def test_the_gradient_moves_from_waveform_to_mel(trainer):
    run = trainer(shift_steps=(2, 6), waveform_share=(0.8, 0.4))
    for run.step, waveform in ((0, 0.8), (2, 0.8), (4, 0.6), (6, 0.4), (100, 0.4)):
        assert run._shares() == pytest.approx({"waveform": waveform, "mel": 1 - waveform})


@pytest.mark.parametrize(("weights", "entries"), [([1, 1, 1, 1], 4), ([5, 5, 0, 0], 2), ([0, 0, 3, 0], 1)])
def test_perplexity_is_the_number_of_entries_in_use(weights, entries):
    assert perplexity(torch.tensor(weights).float()) == pytest.approx(entries, rel=1e-4)


def test_effective_rank_is_the_number_of_directions():
    basis = torch.linalg.qr(tiny.noise(8, 3))[0]
    latents = (basis @ tiny.noise(3, 4000, scale=1))[None] + 5
    assert effective_rank(latents) == pytest.approx(3, rel=0.02)
