import dataclasses
import json
import tomllib
from pathlib import Path

import pytest

import tiny
from soundstream.errors import ConfigError
from soundstream.nn.families.spectral import Config as SpectralConfig
from soundstream.train.adversarial.discriminators import DiscriminatorConfig
from soundstream.train.checkpoint import Progress
from soundstream.train.clock import ClockConfig
from soundstream.train.config import TrainConfig, annealed, load_run, timed
from soundstream.train.data.crops import DataConfig
from soundstream.train.steps.schedule import Schedule

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.glob("*.toml"))


@pytest.fixture
def run_file(tmp_path):
    def write(text, name="run.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def flat(config):
    """Every setting by its path, such as `codec.latent_dim`."""
    found = {}
    for name, value in config.to_dict().items():
        table = name in ("codec", "data", "loss", "discriminator", "optimizer", "clock")
        found |= {f"{name}.{key}": item for key, item in value.items()} if table else {name: value}
    return found


def difference(path, base="common.toml"):
    """Settings of a run file that are not those of the common file, or of another."""
    base = flat(load_run(CONFIGS / base))
    return {name: value for name, value in flat(load_run(path)).items() if base.get(name) != value}


# the run files of the repository


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_run_file_of_the_repository_loads(path):
    assert isinstance(load_run(path), TrainConfig)


def test_the_common_file_says_what_the_defaults_say():
    assert load_run(CONFIGS / "common.toml") == TrainConfig()


def named(path):
    """Settings that a run file itself holds."""
    data = tomllib.loads(path.read_text())
    tables = {
        name: data[name] for name in ("codec", "data", "loss", "discriminator", "optimizer", "clock") if name in data
    }
    plain = set(data) - set(tables) - {"include"}
    return plain | {f"{name}.{key}" for name, table in tables.items() for key in table}


@pytest.mark.parametrize("path", [path for path in FILES if path.stem != "common"], ids=lambda p: p.name)
def test_a_run_file_holds_only_its_difference_from_what_it_includes(path):
    config = load_run(path)
    stated = named(path)
    if config.codec.family != TrainConfig().codec.family:
        stated = {name for name in stated if not name.startswith("codec.")}
    assert stated <= set(difference(path, tomllib.loads(path.read_text())["include"]))


def test_base_is_the_recipe_for_a_gpu_and_has_one_for_a_cpu():
    gpu, cpu = (timed(load_run(CONFIGS / f"{name}.toml"), 600.0) for name in ("base", "base-cpu"))
    assert gpu.is_adversarial and not cpu.is_adversarial
    assert gpu.codec == cpu.codec == load_run(CONFIGS / "base-denoise.toml").codec
    weights = {name: weight for name, weight in gpu.loss.weights(1.0).items() if weight}
    expected = {"waveform": 0.1, "mel": 0.6, "levels": 0.3, "adversarial": 0.3, "feature": 0.8}
    assert weights == pytest.approx(expected)


def test_the_papers_run_has_its_set():
    run = load_run(CONFIGS / "paper.toml")
    codec, weights = run.codec, run.loss.weights(0.0)
    sizes = codec.encoder_channels, codec.decoder_channels, codec.latent_dim, codec.num_quantizers
    assert sizes == (32, 32, 256, 8)
    assert (run.discriminator.kind, run.loss.mel, run.loss.balance) == ("soundstream", "paper", False)
    assert {name: w for name, w in weights.items() if w} == {"mel": 1, "adversarial": 1, "feature": 100}
    assert not run.loss.relative_features


# includes


def test_a_file_holds_only_its_difference_from_the_one_that_it_includes(run_file):
    run_file("seed = 3\n[data]\nbatch_size = 4\n[codec]\nlatent_dim = 64\nencoder_channels = 8", "base.toml")
    config = load_run(run_file('include = "base.toml"\n[data]\ncrop_frames = 50\n[codec]\nlatent_dim = 32'))
    assert (config.seed, config.data.batch_size, config.data.crop_frames) == (3, 4, 50)
    assert (config.codec.latent_dim, config.codec.encoder_channels) == (32, 8)


def test_includes_may_be_nested(run_file):
    run_file("seed = 3\n[data]\nbatch_size = 4", "a.toml")
    run_file('include = "a.toml"\n[data]\nbatch_size = 5', "b.toml")
    config = load_run(run_file('include = "b.toml"\n[data]\ncrop_frames = 60'))
    assert (config.seed, config.data.batch_size, config.data.crop_frames) == (3, 5, 60)


def test_a_codec_of_another_family_takes_the_place_of_the_whole_table(run_file):
    run_file("[codec]\nlatent_dim = 64\nencoder_channels = 8", "base.toml")
    config = load_run(run_file('include = "base.toml"\n[codec]\nfamily = "spectral"\nencoder_width = 32'))
    assert config.codec == SpectralConfig(encoder_width=32)


def test_changes_come_last_and_keep_the_rest_of_their_table(run_file):
    path = run_file("total_steps = 10\n[optimizer]\nclip_norm = 3.0")
    config = load_run(path, total_steps=20, optimizer={"decay_steps": 5})
    assert (config.total_steps, config.optimizer.decay_steps, config.optimizer.clip_norm) == (20, 5, 3.0)


def test_a_cool_down_ends_soon_with_a_rate_of_zero():
    config = annealed(TrainConfig(), step=4000, steps=500)
    assert config.total_steps == 4500
    rates = [Schedule(config).rate(Progress(step), 0.0) for step in (4000, 4250, 4500)]
    assert rates == pytest.approx([1e-3, 0.5e-3, 0.0])


def test_a_run_with_a_time_limit_has_discriminators_if_the_clock_says_so():
    config = TrainConfig(total_steps=10, adversarial_from_step=10)
    assert not config.is_adversarial and timed(config, 60.0).is_adversarial
    assert not dataclasses.replace(timed(config, 60.0), clock=ClockConfig(adversarial_from=1.0)).is_adversarial
    none = DiscriminatorConfig(kind="none")
    assert not dataclasses.replace(config, adversarial_from_step=0, discriminator=none).is_adversarial


# mistakes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = 1e-3", "unknown training setting learning_rat"),
        ("[optimizer]\nlearning_rat = 1e-3", "unknown optimizer setting learning_rat"),
        ("[codec]\nbins = 3", "unknown seanet setting bins"),
        ("[data]\nbatch_size = 0", "batch_size is 0"),
        ("[codec]\nlatent_dim = 0", "latent_dim is 0"),
        ("[data]\nbatch_size =", "not a valid run file"),
        ('[data]\nbatch_size = "8"', "batch_size"),
        ("[loss]\nbalance = 1", "balance is 1"),
        ("seed = true", "seed is True"),
        ('[loss]\nmel = "linear"', "mel is 'linear'"),
        ("[optimizer]\nbetas = [0.9]", "betas"),
        ("[optimizer]\nlearning_rate = 0", "learning_rate is 0"),
        ("ema_decay = 1.0", "ema_decay is 1.0"),
        ("discriminator_every = 0", "discriminator_every is 0"),
        ("discriminator_crop_frames = 39", "they need 7 to 38"),
        ("[data]\ncrop_frames = 5", "they need 7 to 5"),
        ("time_limit_s = -1", "time_limit_s is -1"),
        ("discriminator_examples = 9", "discriminator_examples is 9; expected at most batch_size = 8"),
        ("[clock]\nquantize_from = 1.5", "clock quantize_from is 1.5; expected shares from 0 to 1"),
        ("[clock]\nshift = [0.3, 0.2]", r"clock shift is \(0.3, 0.2\); expected shares from 0 to 1, the lower first"),
        ("[clock]\ndecay_from = 1", "decay_from must be less than 1"),
        ("quantizer_effort = 0", "quantizer_effort is 0"),
        ("quantizer_dropout_shares = { 25 = 0.5 }", "quantizer_dropout_shares names 25; expected counts from 1 to 24"),
        ("quantizer_dropout_shares = { many = 0.5 }", "names many"),
        ("quantizer_dropout_shares = { 2 = 0.6, 4 = 0.6 }", "sum to 1 at most"),
        ("[discriminator]\ncompression = 1.5", "compression is 1.5"),
        ('include = "absent.toml"', r"absent\.toml"),
        ('include = "run.toml"', "include"),
        ("codec = 3", "codec"),
        ("loss = 3", "loss is 3"),
    ],
)
def test_a_mistake_in_a_run_file_is_named(run_file, text, message):
    with pytest.raises(ConfigError, match=message):
        load_run(run_file(text))


def test_crops_may_be_short_in_a_run_without_discriminators(run_file):
    config = load_run(run_file("adversarial_from_step = 10\ntotal_steps = 10\n[data]\ncrop_frames = 5"))
    assert not config.is_adversarial


def test_a_missing_run_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read run file .*absent\.toml"):
        load_run(tmp_path / "absent.toml")


@pytest.mark.parametrize("codec", tiny.CONFIGS, ids=lambda codec: codec.family)
def test_a_config_comes_back_from_json(codec):
    data = DataConfig(category_weights={"speech": 2.0}, gain_db=(-3.0, 0.0))
    config = dataclasses.replace(tiny.RUN, codec=codec, data=data)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
