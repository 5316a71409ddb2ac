"""Reading logs and drawing curves from them."""

import json

import matplotlib.image
import numpy as np
import pytest

from soundstream import ConfigError
from soundstream.train.report import curves
from soundstream.train.report.records import RunLog, read_log, summary, thinned


def training(step, **more):
    return {"step": step, "waveform": 1 / step, "mel_log": 0.5, "gradient_norm": 3.0, "gradient_mel": 0.1} | more


def validation(step, **more):
    figures = {f"snr_db_{n}": n + step / 100 for n in (1, 2)} | {f"mel_log_{n}": 1 / n for n in (1, 2)}
    figures |= {f"harmonics_middle_{n}": n / 10 for n in (1, 2)}
    return {"step": step, "rank": 9.5, "latent_std": 1.0, "perplexity": [12, 10, 8], "dead": [0, 1, 2]} | figures | more


@pytest.fixture
def run(tmp_path):
    """Writes a run folder with these log lines; text stands as it is."""

    def write(*lines, name="run"):
        (tmp_path / name).mkdir()
        text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
        (tmp_path / name / "log.jsonl").write_text(text)
        return tmp_path / name

    return write


def test_lines_are_told_apart(run):
    log = read_log(run(training(25), validation(25), {"step": 30, "event": "k-means"}, training(50)))
    assert [entry["step"] for entry in log.training] == [25, 50]
    assert [entry["step"] for entry in log.validation] == [25]
    assert log.events == [{"step": 30, "event": "k-means"}]
    assert log.name == "run" and log.counts() == [1, 2]
    assert log.series("waveform") == ([25, 50], [1 / 25, 1 / 50])
    assert log.validated("rank") == ([25], [9.5])
    assert log.series("adversarial") == ([], [])


@pytest.mark.parametrize(
    "rubbish", ['{"step": 50, "wave', "\x00\x00\n", "[1, 2]\n", '{"waveform": 1}\n', '{"step": "x"}\n']
)
def test_a_line_that_cannot_be_read_is_counted_and_left_out(run, rubbish):
    log = read_log(run(training(25), rubbish))
    assert [entry["step"] for entry in log.training] == [25] and log.unreadable == 1


def test_after_a_resume_the_later_lines_count(run):
    first = [training(25), training(50), validation(60), training(75), validation(80), {"step": 80, "event": "NaN"}]
    log = read_log(run(*first, training(50, waveform=7.0), validation(55)))
    assert log.series("waveform") == ([25, 50], [1 / 25, 7.0])
    assert [entry["step"] for entry in log.validation] == [55]
    assert len(log.events) == 1


def test_a_log_file_may_be_named_itself(run):
    folder = run(training(25))
    assert read_log(folder / "log.jsonl") == read_log(folder)


@pytest.mark.parametrize("lines", [(), ("nothing\n",)])
def test_a_log_without_a_line_is_refused(run, lines):
    with pytest.raises(ConfigError, match="no log line"):
        read_log(run(*lines))


def test_a_folder_without_a_log_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        read_log(tmp_path)


def test_the_summary_says_where_the_run_stands(run):
    found = summary(read_log(run(training(25), validation(25), training(50), {"step": 50, "event": "saved"})))
    assert found["run"] == "run" and found["step"] == 50 and found["training_lines"] == 2
    assert found["last_training"]["waveform"] == 1 / 50
    assert found["last_validation"]["snr_db_2"] == 2.25
    assert found["events"] == [{"step": 50, "event": "saved"}]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_no_figure_of_a_summary_is_nan(run):
    found = summary(read_log(run('{"step": 25, "waveform": NaN, "mel_log": Infinity, "commitment": 1.0}\n')))
    assert found["last_training"] == {"step": 25, "waveform": None, "mel_log": None, "commitment": 1.0}


@pytest.mark.parametrize(
    ("steps", "most", "left"),
    [
        ([], 3, []),
        ([7], 3, [7]),
        ([0, 10, 20, 30], 9, [0, 10, 20, 30]),
        ([0, 1, 2, 50, 98, 99, 100], 2, [50, 100]),
        ([0, 1, 2, 3, 90, 91, 92, 300], 3, [92, 300]),
    ],
)
def test_thinning_keeps_the_last_entry_and_spreads_the_others(steps, most, left):
    assert [entry["step"] for entry in thinned([{"step": step} for step in steps], most)] == left


def many(name, steps=100, codebooks=3):
    log = RunLog(name)
    for step in range(25, 25 * steps, 25):
        log.training.append(training(step, learning_rate=1e-3, adversarial=-0.1, gradient_waveform=0.2))
    for step in range(100, 25 * steps, 250):
        log.validation.append(validation(step, perplexity=[9] * codebooks))
    log.events.append({"step": 500, "event": "losses are not finite: back to step 400"})
    return log


def drawn(path, *logs):
    """Draw the logs into a file; returns the number of panels."""
    with path.open("wb") as file:
        return curves.draw(file, logs)


def test_each_figure_has_its_panel_and_each_panel_its_data(tmp_path, monkeypatch):
    seen = {}

    def finish(axis, title, logs):
        seen[title] = [len(line.get_xdata()) for line in axis.get_lines()]

    monkeypatch.setattr(curves, "_finish", finish)
    monkeypatch.setattr(curves.drawing, "write", lambda figure, file: None)
    assert drawn(tmp_path / "a.png", many("a")) == len(seen)
    assert seen == {
        **{f"loss: {name}": [99, 99] for name in ("waveform", "mel, logarithmic", "adversarial")},
        "gradient norm before clipping": [99, 99],
        "gradient norm of each term": [99, 99],
        "waveform SNR by codebooks in use, dB": [10, 10],
        "log-mel distance by codebooks in use": [10, 10],
        "harmonic correlation, 1.5-3 kHz": [10, 10],
        "effective rank of the latents": [10],
        "scale of the latents before normalization": [10],
        "perplexity of each codebook": [10, 10, 10],
        "dead of each codebook": [10, 10, 10],
        "learning rate": [99, 99],
    }


def test_the_picture_shows_something_and_more_with_two_runs(tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    a, b = (RunLog(name, [training(step) for step in range(25, end, 25)]) for name, end in (("a", 900), ("b", 2000)))
    drawn(one, a)
    drawn(two, a, b)
    pixels = [matplotlib.image.imread(path) for path in (one, two)]
    assert pixels[0].shape == pixels[1].shape and min(pixels[0].shape[:2]) > 500
    assert all(np.ptp(picture) > 0.5 for picture in pixels)
    assert (pixels[0] != pixels[1]).any(-1).mean() > 0.01


def test_a_log_of_an_earlier_release_shares_a_picture_with_a_new_one(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(curves, "_finish", lambda axis, title, logs: titles.append(title))
    monkeypatch.setattr(curves.drawing, "write", lambda figure, file: None)
    old = RunLog("old", [training(25)], [{"step": 25, "rank": 3.0, "snr_db_1": 1.0}])
    assert drawn(tmp_path / "both.png", old, many("new")) > drawn(tmp_path / "old.png", old)
    assert any(title.startswith("dead of each codebook") for title in titles)


def test_events_are_told_below_and_counted_when_there_are_many():
    log = RunLog("a", events=[{"step": 1000 * i, "event": "went back"} for i in range(1, 12)])
    told = curves._events([log])
    assert told[0] == "a, step 1,000: went back" and told[-1] == "and 3 more"


def test_smoothing_keeps_the_length_and_leaves_gaps_out():
    values = [1.0] * 100 + [float("nan")] + [1.0] * 100
    assert curves.smoothed(values) == pytest.approx([1.0] * 201)
    assert curves.smoothed([]).shape == (0,)
    assert curves.smoothed([2.0, 4.0]) == pytest.approx([2.0, 4.0])
