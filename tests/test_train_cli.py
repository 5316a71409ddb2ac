"""The commands around training, from the command line."""

import io
import itertools
import json
import sys
from types import SimpleNamespace

import pytest
import soundfile
from rich.console import Console
from typer.main import get_command

import tiny
from soundstream.cli import app, main
from soundstream.cli.training.display import Display, trained, validated
from soundstream.train import clock

RUN_FILE = """
total_steps = 4
quantize_from_step = 2
kmeans_batches = 2
[codec]
sample_rate = 8000
encoder_channels = 8
decoder_channels = 8
strides = [2, 4, 5]
dilations = [1, 3]
latent_dim = 8
num_quantizers = 4
codebook_size = 16
[data]
batch_size = 2
crop_frames = 52
"""


SMALL_CRITIC = """
[optimizer]
warmup_steps = 2
[discriminator]
channels = 4
windows = [512, 256]
"""


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs a command; returns its output, and what it says with the exit code."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["soundstream", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return captured.out, captured.err, code

    return run


@pytest.fixture
def folder(tmp_path):
    """A run file, training audio in two folders, and validation audio."""
    for seed, name in enumerate(("voices/a.wav", "data/music/b.wav", "valid/speech/c.wav")):
        (tmp_path / name).parent.mkdir(parents=True)
        soundfile.write(tmp_path / name, tiny.clip(2.5, seed), tiny.CONFIG.sample_rate)
    (tmp_path / "run.toml").write_text(RUN_FILE)
    return tmp_path


def train(folder, *words):
    data = "--data", f"speech={folder / 'voices'}", "--data", folder / "data"
    return "train", folder / "run.toml", *data, "--valid", folder / "valid", "-o", folder / "run", *words


def test_a_run_from_the_first_step_to_its_report(folder, call):
    out, err, code = call(*train(folder, "--device", "cpu", "--precision", "fp32"))
    assert code == 0, err
    assert "speech: 1 files" in err and "music: 1 files" in err
    entries = [json.loads(line) for line in out.splitlines()]
    assert [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()] == entries
    assert "as asked for" in entries[0]["event"] and any("snr_db_4" in entry for entry in entries)

    out, err, code = call("train-report", folder / "run", "-o", folder / "report")
    assert code == 0, err
    assert "validation at step 4" in out and "codebooks in use" in out
    assert (folder / "report" / "curves.png").stat().st_size > 20_000
    (found,) = json.loads((folder / "report" / "summary.json").read_text())
    assert found["step"] == 4 and found["last_validation"]["snr_db_4"] == entries[-1]["snr_db_4"]


def test_a_run_with_a_time_limit_ends_cooled_down_and_its_state_can_be_released(folder, call, monkeypatch):
    ticks = itertools.count(0.0, 0.2)  # a step takes a fifth of a second, on any machine
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=ticks.__next__))
    (folder / "run.toml").write_text(RUN_FILE.replace("total_steps = 4", "") + SMALL_CRITIC)
    out, err, code = call(*train(folder, "--device", "cpu", "--precision", "fp32", "--time-limit", 6))
    assert code == 0, err
    lines = [entry for entry in map(json.loads, out.splitlines()) if "share" in entry]
    assert lines[-1]["share"] > 0.9 and lines[-1]["learning_rate"] < 0.1 * max(line["learning_rate"] for line in lines)
    assert any(line["commitment"] > 0 for line in lines) and any("discriminator" in line for line in lines)
    words = "release", folder / "run" / "checkpoint", "-o", folder / "model", "--valid", folder / "valid", "--quick"
    out, err, code = call(*words)
    assert code == 0, err
    assert (folder / "model" / "config.json").exists() and (folder / "model" / "encoder.onnx").exists()


@pytest.mark.parametrize("stage", ["decoder", "denoise"])
def test_a_stage_after_the_codec_s_without_a_state_is_refused(folder, call, stage):
    (folder / "run.toml").write_text(f'stage = "{stage}"\n{RUN_FILE}')
    _, said, code = call("train", folder / "run.toml", "--data", folder, "--valid", folder, "-o", folder / "runs/a")
    assert code == 1 and f"stage {stage}" in said and "--resume" in said and not (folder / "runs").exists()


def test_two_ways_to_cool_down_are_refused(folder, call):
    _, err, code = call(*train(folder, "--anneal", 10, "--time-limit", 10))
    assert code == 1 and "choose one" in err


@pytest.mark.parametrize(("option", "value"), [("--device", "tpu"), ("--precision", "fp8")])
def test_a_machine_that_does_not_exist_is_refused(folder, call, option, value):
    _, err, code = call(*train(folder, option, value))
    assert code == 1 and "expected one of: auto" in err


@pytest.fixture
def log(tmp_path):
    (tmp_path / "run").mkdir()
    line = {"step": 25, "waveform": 0.5, "rank": 3.0, "snr_db_1": 1.25, "mel_log_1": 0.5, "perplexity": [7]}
    (tmp_path / "run" / "log.jsonl").write_text(json.dumps(line) + '\n{"step": 30, "event": "went [back]"}\n{"st')
    return tmp_path / "run"


def test_a_report_may_be_a_picture_alone_and_its_summary_json(log, call, tmp_path):
    out, err, code = call("train-report", log, "-o", tmp_path / "one.png", "--json")
    assert code == 0, err
    assert json.loads(out)[0]["unreadable_lines"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"run", "one.png"}
    out, err, code = call("train-report", log, "-o", tmp_path / "one.png")
    assert code == 1 and "--force" in err
    out, err, code = call("train-report", log, "-o", tmp_path / "one.png", "--force")
    assert code == 0 and "1.25" in out and "step 30: went [back]" in out and "1 lines of the log cannot be read" in out


def test_a_run_without_a_log_is_refused(call, tmp_path):
    _, err, code = call("train-report", tmp_path, "-o", tmp_path / "x.png")
    assert code == 1 and "cannot read" in err


@pytest.mark.parametrize("name", ["train", "train-report", "export", "release"])
def test_every_option_of_a_command_says_what_it_is_for(name):
    command = get_command(app).commands[name]
    assert command.help and all(getattr(option, "help", "x") for option in command.params)


def test_a_terminal_shows_what_happens():
    console = Console(file=io.StringIO(), force_terminal=True, width=150)
    with Display(100, 1000, 0.0, console) as display:
        display.show({"step": 125, "waveform": 0.4567, "mel": 1.5, "steps_per_s": 2.5})
        display.show({"step": 130, "rank": 9.0, "snr_db_1": 3.2, "mel_log_1": 0.9})
        display.show({"step": 140, "event": "back to [130]"})
        task = display.progress.tasks[0]
        assert task.completed == 140 and task.total == 1000
    shown = console.file.getvalue()
    assert "waveform 0.457" in shown and "2.5 steps/s" in shown and " passed" in shown
    assert "step 130: 1 codebook: SNR 3.2 dB, log-mel 0.9; rank 9.0" in shown
    assert "step 140: back to [130]" in shown


def test_with_a_time_limit_the_bar_is_its_share():
    console = Console(file=io.StringIO(), force_terminal=True, width=150)
    with Display(100, 1000, 600.0, console) as display:
        display.show({"step": 125, "waveform": 0.5, "share": 0.25})
        display.show({"step": 130, "event": "new data"})
        assert display.progress.tasks[0].completed == 0.25 and display.progress.tasks[0].total == 1
    assert " left" in console.file.getvalue()


def test_lines_without_some_figures_are_shown_too():
    assert trained({"step": 25, "waveform": 0.5}) == "waveform 0.5"
    assert validated({"step": 25, "rank": 2.0}) == "rank 2.0"
    figures = {f"snr_db_{n}": float(n) for n in (1, 8, 16)} | {f"mel_log_{n}": 1 / n for n in (1, 8, 16)}
    assert validated({"rank": 2.0} | figures).startswith("1 codebook: SNR 1.0 dB, log-mel 1.0; 8 codebooks: SNR 8.0")
