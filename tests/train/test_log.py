import json
import math

import pytest
import torch

from soundstream.train.report.log import Log, Tally


def test_means_are_over_the_steps_that_had_the_figure():
    tally = Tally()
    for i in range(4):
        figures = {"a": torch.tensor(float(i))}
        tally.add(figures | {"b": torch.tensor(10.0 * i)} if i % 2 else figures)
    assert tally.take() == {"a": 1.5, "b": 20.0}
    assert tally.take() == {}


def test_figures_that_are_overwritten_later_are_counted_as_they_were():
    tally, value = Tally(), torch.tensor(1.0)
    tally.add({"a": value})
    value.fill_(5.0)
    tally.add({"a": value})
    assert tally.take() == {"a": 3.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_figure_that_is_not_finite_spoils_the_mean(bad):
    tally = Tally()
    for value in (1.0, bad, 2.0):
        tally.add({"a": torch.tensor(value)})
    assert not math.isfinite(tally.take()["a"])


def test_every_line_is_written_and_reported(tmp_path):
    log, seen = Log(tmp_path), []
    log.write({"step": 1, "waveform": 0.5})
    log.report = seen.append
    log.event(2, "went back")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [{"step": 1, "waveform": 0.5}, {"step": 2, "event": "went back"}]
    assert seen == lines[1:]
