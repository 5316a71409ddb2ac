import dataclasses
import itertools
import json
import math
import signal
from types import SimpleNamespace

import pytest
import torch

import tiny
from soundstream.errors import ConfigError, TrainingError
from soundstream.train import checkpoint as ckpt
from soundstream.train import loop
from soundstream.train.loop import ATTEMPTS, Trainer


@pytest.fixture
def trainer(tmp_path):
    """Makes a trainer of the tiny model, with changes to its run."""

    def make(resume=None, folder="run", **changes):
        config = dataclasses.replace(tiny.RUN, **changes)
        return Trainer(config, tiny.corpus(), tiny.corpus(), tmp_path / folder, resume, device="cpu")

    return make


@pytest.fixture
def every_step(monkeypatch):
    """Figures are looked at, and a sound state is kept, at every step."""
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    monkeypatch.setattr(loop, "KEEP_EVERY_STEPS", 1)


def entries(run):
    return [json.loads(line) for line in (run.run / "log.jsonl").read_text().splitlines()]


def events(run):
    return [entry["event"] for entry in entries(run) if "event" in entry]


def saved(run):
    return ckpt.load(run.run / "checkpoint")


def differing(a, b):
    return {name for name in a if not torch.equal(a[name], b[name])}


def test_validation_in_between_does_not_change_the_run(trainer):
    plain, watched = trainer(folder="plain"), trainer(folder="watched")
    for _ in range(4):
        plain.train_step()
        watched.train_step()
        watched.validate_and_save(lambda entry: None)
    assert differing(plain.learner.model.state_dict(), watched.learner.model.state_dict()) == set()


def test_fit_ends_at_the_last_step_validates_and_saves(trainer):
    run = trainer(total_steps=3)
    run.fit()
    assert run.step == saved(run).step == 3
    assert entries(run)[-1]["step"] == 3
    assert "snr_db_1" in entries(run)[-1]
    assert (run.run / "audio/3").is_dir()


def test_a_run_goes_on_from_its_checkpoint(trainer):
    trainer(total_steps=2).fit()
    run = trainer(ckpt.load(trainer(folder="run").run / "checkpoint"), total_steps=4)
    assert run.step == 2
    run.fit()
    assert saved(run).step == 4


def test_a_state_of_another_model_is_refused(trainer):
    first = trainer()
    with pytest.raises(ConfigError, match="another model"):
        trainer(first.learner.state(), codec=tiny.SPECTRAL)


def clock(seconds_a_look):
    """A clock that goes on by so many seconds each time it is looked at."""
    return SimpleNamespace(monotonic=itertools.count(0.0, seconds_a_look).__next__)


def test_fit_stops_at_the_time_limit_and_saves(trainer, monkeypatch):
    monkeypatch.setattr(loop, "time", clock(1.0))
    run = trainer(total_steps=1000)
    run.fit(time_limit_s=10.0)
    assert 1 <= run.step < 10
    assert saved(run).step == run.step


def test_no_time_left_means_no_step(trainer):
    run = trainer(total_steps=2)
    run.fit(time_limit_s=0.0)
    assert run.step == 0


def test_a_request_to_stop_ends_the_run_after_its_step_and_saves(trainer, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 3)
    run = trainer(total_steps=1000)
    run.fit(report=lambda entry: signal.raise_signal(signal.SIGINT) if run.step == 3 else None)
    assert run.step == 3
    assert saved(run).step == 3


def test_fit_leaves_the_signal_handlers_as_they_were(trainer):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        trainer(total_steps=1).fit()
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_fit_validates_now_and_then_and_reports_every_line(trainer, monkeypatch):
    monkeypatch.setattr(loop, "time", clock(1.0))
    run, seen = trainer(total_steps=4), []
    run.fit(validate_every_s=2.0, report=seen.append)
    assert seen == entries(run)
    assert 2 <= sum("snr_db_1" in entry for entry in seen) <= 4


def test_training_figures_are_logged_every_few_steps(trainer, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 2)
    run = trainer(total_steps=4)
    run.fit()
    lines = [entry for entry in entries(run) if "waveform" in entry]
    assert [entry["step"] for entry in lines] == [2, 4]
    assert {"mel", "commitment", "gradient_norm", "learning_rate", "seconds", "steps_per_s"} <= set(lines[0])
    assert all(math.isfinite(value) for value in lines[0].values())


def test_the_start_of_a_run_says_where_and_how_precisely_it_computes(trainer):
    run = trainer(total_steps=1)
    run.fit()
    assert "cpu" in events(run)[0]
    assert "fp32" in events(run)[0] or "bf16" in events(run)[0]


def test_what_starts_afresh_is_said(trainer, tmp_path):
    ckpt.save(tmp_path / "small", ckpt.compact(trainer().learner.state()))
    run = trainer(ckpt.load(tmp_path / "small"), "second", total_steps=1)
    run.fit()
    assert any("no moments" in event for event in events(run))


# the guard


def spoil(monkeypatch, run, bad):
    """Audio of the drawn batches for which `bad` is true is not a number; gives the list of all that are drawn."""
    draw, drawn = run.learner.crops.draw, []

    def spoiled(number):
        batch = draw(number)
        drawn.append(number)
        return batch._replace(audio=batch.audio * math.nan) if bad(number) else batch

    monkeypatch.setattr(run.learner.crops, "draw", spoiled)
    return drawn


def test_a_figure_that_is_not_finite_steps_back_and_leaves_its_batch_out(trainer, monkeypatch, every_step):
    run = trainer(total_steps=6, quantize_from_step=0, kmeans_batches=1)
    drawn = spoil(monkeypatch, run, lambda number: number == 3)
    run.fit()
    assert drawn == [0, 0, 1, 2, 3, 4, 5, 6]
    assert run.step == 6
    assert all(value.isfinite().all() for value in run.learner.model.state_dict().values())
    assert [event for event in events(run) if "not finite" in event] == [
        "a loss or gradient before step 4 was not finite: back to step 3, on with other batches"
    ]


def test_going_on_after_stepping_back_equals_never_having_drawn_the_batch(trainer, monkeypatch, every_step):
    changes = {"total_steps": 6, "quantize_from_step": 9}
    run, clean = trainer(**changes), trainer(folder="clean", **changes)
    spoil(monkeypatch, run, lambda number: number == 3)
    run.fit()
    for _ in range(3):
        clean.train_step()
    clean.learner.progress = dataclasses.replace(clean.learner.progress, skipped=1)
    clean.fit()
    assert differing(run.learner.model.state_dict(), clean.learner.model.state_dict()) == set()


def test_a_resumed_run_goes_on_leaving_out_what_was_left_out(trainer, monkeypatch, every_step):
    run = trainer(total_steps=5, quantize_from_step=9)
    spoil(monkeypatch, run, lambda number: number == 3)
    run.fit()
    again = trainer(saved(run), "again", total_steps=6, quantize_from_step=9)
    drawn = spoil(monkeypatch, again, lambda number: False)
    again.train_step()
    assert drawn == [6]


def test_a_state_that_is_not_finite_is_never_saved(trainer, monkeypatch):
    run = trainer(total_steps=4, quantize_from_step=9)
    spoil(monkeypatch, run, lambda number: number >= 2)
    run.fit()
    assert all(value.isfinite().all() for value in saved(run).model.values())
    assert saved(run).step == 0


def test_a_run_that_never_gets_on_gives_up(trainer, monkeypatch, every_step):
    run = trainer(total_steps=20, quantize_from_step=30)
    drawn = spoil(monkeypatch, run, lambda number: number >= 2)
    with pytest.raises(TrainingError, match=f"at {ATTEMPTS + 1} attempts from step 2: lower learning_rate"):
        run.fit()
    assert drawn == list(range(2 + ATTEMPTS + 1))


def test_an_attempt_that_gets_on_counts_for_no_more(trainer, monkeypatch, every_step):
    run = trainer(total_steps=12, quantize_from_step=30)
    spoil(monkeypatch, run, lambda number: number % 2 == 1)
    run.fit()
    assert run.step == 12
    assert len([event for event in events(run) if "not finite" in event]) > ATTEMPTS


# two phases in one run file


def test_the_tiny_run_file_goes_through_every_phase(tmp_path, every_step):
    from pathlib import Path

    from soundstream.train.config import load_run

    config = load_run(Path(__file__).parents[2] / "configs/tiny.toml")
    run = Trainer(config, tiny.corpus(), tiny.corpus(), tmp_path / "run", device="cpu")
    run.fit()
    first = {name: next(e["step"] for e in entries(run) if e.get(name)) for name in
             ("waveform", "commitment", "discriminator", "adversarial")}  # fmt: skip
    assert first == {"waveform": 1, "commitment": 3, "discriminator": 5, "adversarial": 7}
    assert saved(run).discriminator_optimizer
