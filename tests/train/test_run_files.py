import dataclasses
import json
from pathlib import Path

import pytest

import tiny
from soundstream.errors import ConfigError
from soundstream.train.config import TrainConfig, load_run

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def run_file(tmp_path):
    def write(text, name="run.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.name)
def test_every_run_file_of_the_repository_loads(path):
    assert isinstance(load_run(path), TrainConfig)


def test_the_base_file_says_what_the_defaults_say():
    assert load_run(CONFIGS / "base.toml") == TrainConfig()


def test_a_file_holds_only_its_difference_from_the_one_that_it_includes(run_file):
    run_file("seed = 3\nbatch_size = 4\n[codec]\nlatent_dim = 64\nencoder_channels = 8", "base.toml")
    config = load_run(run_file('include = "base.toml"\nbatch_size = 5\n[codec]\nlatent_dim = 32'))
    assert (config.seed, config.batch_size) == (3, 5)
    assert (config.codec.latent_dim, config.codec.encoder_channels) == (32, 8)


def test_includes_may_be_nested(run_file):
    run_file("seed = 3\nbatch_size = 4", "a.toml")
    run_file('include = "a.toml"\nbatch_size = 5', "b.toml")
    config = load_run(run_file('include = "b.toml"\ncrop_frames = 6'))
    assert (config.seed, config.batch_size, config.crop_frames) == (3, 5, 6)


def test_changes_come_last(run_file):
    assert load_run(run_file("total_steps = 10"), total_steps=20).total_steps == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = 1e-3", "unknown training setting learning_rat"),
        ("[codec]\nbins = 3", "unknown codec setting bins"),
        ("batch_size = 0", "batch_size is 0"),
        ("[codec]\nlatent_dim = 0", "latent_dim is 0"),
        ("batch_size =", "not a valid run file"),
        ('batch_size = "8"', "batch_size"),
        ('include = "absent.toml"', r"absent\.toml"),
        ('include = "run.toml"', "include"),
        ("codec = 3", "codec"),
    ],
)
def test_a_mistake_in_a_run_file_is_named(run_file, text, message):
    with pytest.raises(ConfigError, match=message):
        load_run(run_file(text))


def test_a_missing_run_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read run file .*absent\.toml"):
        load_run(tmp_path / "absent.toml")


def test_a_config_comes_back_from_json():
    config = dataclasses.replace(tiny.RUN, category_weights={"speech": 2.0}, gain_db=(-3.0, 0.0))
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
