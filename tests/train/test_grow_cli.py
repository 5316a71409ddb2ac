"""`soundstream grow`, from the command line."""

import sys

import pytest

import tiny
from soundstream.cli import main
from soundstream.train import checkpoint as ckpt
from soundstream.train.checkpoint import Checkpoint, Progress


@pytest.fixture
def grow(monkeypatch, capsys, tmp_path):
    """Grows a trained SEANet of 8 channels into the folder `large`; returns what is printed, and the error."""
    model = tiny.model()
    ckpt.save(tmp_path / "small", Checkpoint(tiny.CONFIG, Progress(step=7), model.state_dict()))

    def run(*words):
        monkeypatch.setattr(
            sys, "argv", ["soundstream", "grow", str(tmp_path / "small"), "-o", str(tmp_path / "large"), *words]
        )
        try:
            main()
        except SystemExit as stop:
            assert stop.code in (0, 1)
        captured = capsys.readouterr()
        return captured.out, captured.err

    return run


def test_a_grown_state_is_written_and_its_settings_are_said(grow, tmp_path):
    out, err = grow("--channels", "8,16", "--latent-dim", "16", "--blocks", "1,2", "--width", "128")
    assert not err
    assert out.splitlines() == [
        "decoder_channels = 16  # 8",
        "decoder_trunk_blocks = 2  # 0",
        "encoder_trunk_blocks = 1  # 0",
        "latent_dim = 16  # 8",
        "trunk_width = 128  # 512",
    ]
    large = ckpt.load(tmp_path / "large")
    assert (large.step, large.codec.decoder_channels, large.codec.encoder_channels) == (7, 16, 8)
    ckpt.load_model(tmp_path / "large").encode(tiny.noise(1, 1, 400))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to grow; give --width"),
        (("--channels", "many"), "--channels is 'many'; expected a whole number"),
        (("--channels", "4"), "encoder_channels is 4; the state has 8"),
    ],
)
def test_a_mistake_is_named_and_nothing_written(grow, tmp_path, words, message):
    _, err = grow(*words)
    assert message in err
    assert not (tmp_path / "large").exists()


def test_a_state_that_is_there_is_replaced_only_by_force(grow, tmp_path):
    grow("--channels", "9")
    _, err = grow("--channels", "10")
    assert "exists already" in err and ckpt.load(tmp_path / "large").codec.encoder_channels == 9
    _, err = grow("--channels", "10", "--force")
    assert not err and ckpt.load(tmp_path / "large").codec.encoder_channels == 10
