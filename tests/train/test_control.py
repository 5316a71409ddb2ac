import dataclasses
import json

import pytest

import tiny
from soundstream.errors import ConfigError
from soundstream.train.config import timed
from soundstream.train.control import Control, parsed
from soundstream.train.losses.reconstruction import LossConfig

CONFIG = timed(dataclasses.replace(tiny.RUN, loss=LossConfig(levels_weight=(0.0, 0.3))), 600.0)


def test_rates_and_weights_are_those_of_the_run_file_by_name():
    data = {"learning_rate": 2e-4, "discriminator_learning_rate": 1e-5, "mel_weight": 0.5, "commitment_weight": 0}
    config = parsed(data | {"levels_weight": [0.1, 0.2], "feature_weight": 1}, CONFIG).config
    assert (config.optimizer.learning_rate, config.optimizer.discriminator_learning_rate) == (2e-4, 1e-5)
    loss = config.loss
    assert (loss.mel_weight, loss.levels_weight) == ((0.5, 0.5), (0.1, 0.2))
    assert (loss.commitment_weight, loss.feature_weight) == (0.0, 1.0)
    assert dataclasses.replace(config, loss=CONFIG.loss, optimizer=CONFIG.optimizer) == CONFIG


def test_end_and_folder_are_passed_on():
    wishes = parsed({"end": 1767225600, "save": "out-a"}, CONFIG)
    assert wishes == (CONFIG, 1767225600, "out-a", '{"end": 1767225600, "save": "out-a"}')


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "expected an object"),
        ({"end": "soon"}, "end is 'soon'; expected seconds of Unix time"),
        ({"end": True}, "end is True"),
        ({"save": "../x"}, "save is '../x'; expected the name of a folder"),
        ({"save": 1}, "save is 1"),
        ({"rate": 1}, "cannot change rate; expected end, save, learning_rate"),
        ({"clip_norm": 1}, "cannot change clip_norm"),
        ({"complex_weight": 0.1}, "cannot change complex_weight"),
        ({"learning_rate": -1}, "learning_rate is -1; expected a number, 0 or more"),
        ({"learning_rate": 0}, "learning_rate is 0.0; expected more than 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"mel_weight": [1]}, "mel_weight"),
        ({"feature_weight": [1, 2]}, "feature_weight is"),
    ],
    ids=str,
)
def test_a_mistake_is_named(data, message):
    with pytest.raises(ConfigError, match=message):
        parsed(data, CONFIG)


def test_a_run_without_a_time_limit_has_no_end_to_move():
    with pytest.raises(ConfigError, match="no time limit"):
        parsed({"end": 1767225600}, tiny.RUN)


# the file


def test_the_file_is_read_when_it_has_changed(tmp_path):
    control = Control(tmp_path)
    assert control.changed(CONFIG) is None
    (tmp_path / "control.json").write_text('{"learning_rate": 0.5}')
    assert control.changed(CONFIG).config.optimizer.learning_rate == 0.5
    assert control.changed(CONFIG) is None
    (tmp_path / "control.json").write_text('{"learning_rate": 0.25}')
    assert control.changed(CONFIG).config.optimizer.learning_rate == 0.25


def test_what_lies_there_at_the_start_was_meant_for_another_run(tmp_path):
    (tmp_path / "control.json").write_text('{"end": 0}')
    assert Control(tmp_path).changed(CONFIG) is None


def test_a_broken_file_is_named_once(tmp_path):
    control = Control(tmp_path)
    (tmp_path / "control.json").write_text('{"end":')
    with pytest.raises(ConfigError, match=r"control\.json cannot be read"):
        control.changed(CONFIG)
    assert control.changed(CONFIG) is None


def test_a_folder_is_written_once_and_never_over_something_else(tmp_path):
    control = Control(tmp_path)
    for text in ('{"save": "a"}', '{"save": "a", "learning_rate": 0.5}'):
        (tmp_path / "control.json").write_text(text)
        found = control.changed(CONFIG)
        assert found.save == (json.loads(text)["save"] if text == '{"save": "a"}' else None)
    (tmp_path / "audio").mkdir()
    (tmp_path / "control.json").write_text('{"save": "audio"}')
    with pytest.raises(ConfigError, match="'audio', but that is no state"):
        control.changed(CONFIG)
