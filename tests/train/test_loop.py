import dataclasses
import itertools
import json
import math
import signal
import time
from types import SimpleNamespace

import pytest
import torch

import tiny
from soundstream.errors import ConfigError, TrainingError
from soundstream.train import checkpoint as ckpt
from soundstream.train import clock, guard, loop
from soundstream.train.clock import ClockConfig
from soundstream.train.data.corpus import Corpus
from soundstream.train.guard import ATTEMPTS
from soundstream.train.loop import Trainer


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """Makes a trainer of the tiny model, with changes to its run; decoded clips are written where they are `heard`."""

    def make(resume=None, folder="run", heard=False, **changes):
        config = dataclasses.replace(tiny.RUN, **changes)
        made = Trainer(config, tiny.corpus(), tiny.corpus(), tmp_path / folder, resume, device="cpu")
        if not heard:
            monkeypatch.setattr(made.validator, "write", lambda *place: None)
        return made

    return make


@pytest.fixture
def every_step(monkeypatch):
    """Figures are looked at, and a sound state is kept, at every step."""
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    monkeypatch.setattr(guard, "KEEP_EVERY_STEPS", 1)


def entries(run):
    return [json.loads(line) for line in (run.run / "log.jsonl").read_text().splitlines()]


def events(run):
    return [entry["event"] for entry in entries(run) if "event" in entry]


def saved(run):
    return ckpt.load(run.run / "checkpoint")


def differing(a, b):
    return {name for name in a if not torch.equal(a[name], b[name])}


def test_validation_in_between_does_not_change_the_run(trainer):
    plain, watched = trainer(folder="plain"), trainer(folder="watched", heard=True)
    for step in range(4):
        plain.train_step()
        watched.train_step()
        if step == 1:
            watched.validate_and_save()
    assert differing(plain.learner.model.state_dict(), watched.learner.model.state_dict()) == set()


def test_fit_ends_at_the_last_step_validates_and_saves(trainer):
    run = trainer(total_steps=3, heard=True)
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


def test_figures_of_a_line_are_means_over_the_steps_since_the_last(trainer, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 2)
    run, other = trainer(), trainer(folder="other")
    run.fit()
    each = [float(other.learner.step()["waveform"]) for _ in range(4)]
    lines = [entry["waveform"] for entry in entries(run) if "waveform" in entry]
    assert lines == pytest.approx([sum(each[:2]) / 2, sum(each[2:]) / 2], rel=1e-4)


def test_a_state_of_another_model_is_refused(trainer):
    first = trainer()
    with pytest.raises(ConfigError, match="another model"):
        trainer(first.learner.state(), codec=tiny.SPECTRAL)


@pytest.fixture
def ticking(monkeypatch):
    """A clock that goes on by a second each time it is looked at."""
    ticks = SimpleNamespace(monotonic=itertools.count(0.0, 1.0).__next__, time=time.time)
    for module in (loop, clock):
        monkeypatch.setattr(module, "time", ticks)


def test_a_run_with_a_time_limit_ends_by_the_clock_with_a_rate_of_zero_and_saves(trainer, ticking, every_step):
    run = trainer(total_steps=1, time_limit_s=100.0)
    run.fit()
    lines = [entry for entry in entries(run) if "waveform" in entry]
    assert 10 < run.step < 100 and saved(run).step == run.step
    shares, rates = ([entry[name] for entry in lines] for name in ("share", "learning_rate"))
    assert shares == sorted(shares) and shares[0] < 0.1 and 0.9 < shares[-1] < 1
    assert max(rates) == pytest.approx(tiny.RUN.optimizer.learning_rate) and rates[-1] < 0.05 * max(rates)


def test_the_clock_decides_what_begins_when(trainer, ticking, every_step):
    settings = {"quantize_from": 0.2, "adversarial_from": 0.6}
    run = trainer(time_limit_s=100.0, clock=ClockConfig(**settings), discriminator_warmup_steps=1)
    run.fit()
    shares = {name: min(entry["share"] for entry in entries(run) if entry.get(name)) for name in
              ("waveform", "commitment", "discriminator")}  # fmt: skip
    assert shares["waveform"] < 0.1
    assert shares["commitment"] == pytest.approx(0.2, abs=0.1)
    assert shares["discriminator"] == pytest.approx(0.6, abs=0.1)


def test_no_time_left_means_no_step(trainer):
    run = trainer(total_steps=2, time_limit_s=1e-6)
    run.fit()
    assert run.step == 0


def test_a_run_that_is_stopped_goes_on_with_the_time_it_had_left(trainer, ticking, every_step):
    run = trainer(time_limit_s=100.0)
    run.fit(report=lambda entry: signal.raise_signal(signal.SIGINT) if entry.get("share", 0) > 0.5 else None)
    state = saved(run)
    assert 0.5 < state.progress.elapsed_s / 100 < 0.8
    again = trainer(state, "again", time_limit_s=100.0)
    again.fit()
    shares = [entry["share"] for entry in entries(again) if "share" in entry]
    assert shares[0] > 0.5 and again.step > run.step
    assert saved(again).progress.elapsed_s == 0


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


def test_fit_validates_now_and_then_and_reports_every_line(trainer, ticking):
    run, seen = trainer(total_steps=4), []
    run.fit(validate_every_s=4.0, report=seen.append)
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


# wishes and data from outside


def ask(run, text, step):
    """A report that writes the run's control.json once a step is logged."""

    def report(entry):
        if entry["step"] == step and "waveform" in entry:
            (run.run / "control.json").write_text(text)

    return report


@pytest.fixture
def listening(monkeypatch, every_step):
    """Wishes are looked for after every step."""
    monkeypatch.setattr(loop, "LISTEN_EVERY_S", 0.0)


def test_rates_and_weights_change_while_it_runs_and_a_state_is_saved_when_asked_for(trainer, listening):
    run = trainer(total_steps=6)
    run.fit(report=ask(run, '{"learning_rate": 1e-5, "mel_weight": 0.0, "save": "before"}', 3))
    rates = [entry["learning_rate"] for entry in entries(run) if "waveform" in entry]
    assert rates[2] == pytest.approx(1e-3) and rates[3:] == pytest.approx([1e-5] * 3)
    assert ckpt.load(run.run / "before").step == 3
    assert saved(run).settings["optimizer"]["learning_rate"] == 1e-5
    assert any("asked for" in event and "1e-05" in event for event in events(run))


def test_the_end_can_be_moved_while_it_runs(trainer, listening):
    run = trainer(time_limit_s=3600.0)
    run.fit(report=ask(run, json.dumps({"end": time.time() - 1}), 3))
    assert run.step == saved(run).step == 3


@pytest.mark.parametrize("text", ['{"learning_rate": -1}', '{"clip_norm": 1}', "{"])
def test_a_wish_that_cannot_be_is_named_and_the_run_goes_on(trainer, listening, text):
    run = trainer(total_steps=5)
    run.fit(report=ask(run, text, 2))
    assert run.step == 5
    assert len([event for event in events(run) if event.startswith("ignored: control.json")]) == 1


def test_data_that_comes_in_is_drawn_from(trainer, listening, tmp_path):
    corpus = Corpus.of(tiny.CONFIG.sample_rate, {"speech/new.wav": tiny.clip(2.5, seed=9)})

    class Coming:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def take(self):
            return corpus if run.step == 2 else None

    run = trainer(total_steps=4)
    run.arrivals = Coming()
    run.fit()
    assert run.learner.crops.starts.tolist() == [0]
    assert any(event.startswith("new data: 1 files") for event in events(run))


def test_discriminators_that_win_have_their_rate_halved_and_the_log_says_so(trainer, every_step, monkeypatch):
    monkeypatch.setattr(guard, "WON_STEPS", 3)
    monkeypatch.setattr(guard, "WON", 3.0)
    run = trainer(total_steps=8, adversarial_from_step=1)
    run.fit()
    assert saved(run).progress.discriminator_rate_factor == 0.25
    halved = [entry["step"] for entry in entries(run) if "win" in entry.get("event", "")]
    assert halved == [4, 7]


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
