"""A checkpoint becomes an artifact with a card; what is in the place is compared and kept."""

import json
import sys
import tomllib

import numpy as np
import pytest
import soundfile
import torch

import entropy_tables
import soundstream
from soundstream.cli import main
from soundstream.nn.families import build
from soundstream.nn.families.seanet import Config as SeanetConfig
from soundstream.release import card
from soundstream.runtime.artifact import load_artifact
from soundstream.train import checkpoint as ckpt
from soundstream.train.config import TrainConfig

CONFIG = SeanetConfig(encoder_channels=4, decoder_channels=4, latent_dim=8, num_quantizers=8)
RATE = CONFIG.sample_rate
CODECS = ["--codecs", "original,soundstream:3000,soundstream:6000", "--metrics", "si-sdr,log-mel", "--jobs", "1"]
SOURCES = """path\tcategory\tseconds\torigin\tlicence
train/speech/x.opus\tspeech\t90\tDebian talk: voices\tGPL-2|MIT
train/speech/y.opus\tspeech\t30\tDebian talk: more\tGPL-2|MIT
valid/speech/a.wav\tspeech\t2\tsomebody\tCC0
"""


@pytest.fixture
def folder(tmp_path):
    """Two clips of validation audio with a table of sources beside, and a run of 40 steps."""
    for seed, name in enumerate(("valid/speech/a.wav", "valid/music/b.wav")):
        (tmp_path / name).parent.mkdir(parents=True)
        soundfile.write(tmp_path / name, np.random.default_rng(seed).normal(0, 0.1, 2 * RATE), RATE)
    (tmp_path / "SOURCES.tsv").write_text(SOURCES)
    make_run(tmp_path / "run", seed=0)
    return tmp_path


def make_run(run, seed):
    torch.manual_seed(seed)
    settings = TrainConfig(codec=CONFIG).to_dict()
    state = ckpt.Checkpoint(CONFIG, ckpt.Progress(40), settings=settings, model=build(CONFIG).state_dict())
    ckpt.save(run / "checkpoint", state)
    lines = [{"step": s, "rank": 5.0, "snr_db_1": s / 10, "mel_log_1": 1.5, "dead": [0]} for s in (20, 40, 60)]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def call(folder, few_probes, no_curves, monkeypatch):
    """Runs `soundstream release` on a run of the folder, with few probes; returns what it says and its exit code."""

    def release(*words, run="run", capsys):
        fixed = [str(folder / run / "checkpoint"), "-o", str(folder / "model"), "--valid", str(folder / "valid")]
        monkeypatch.setattr(sys, "argv", ["soundstream", "release", *fixed, *words])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        return " ".join(capsys.readouterr().err.split()), code

    return release


def test_a_quick_release_exports_checks_and_describes(folder, call, capsys):
    said, code = call("--quick", "--state", str(folder / "small"), capsys=capsys)
    codec = soundstream.load(folder / "model")
    assert code == 0 and codec.model_id.hex() in said and "pcm_snr_db" in said
    card = (folder / "model" / "README.md").read_text()
    assert (
        codec.model_id.hex() in card
        and "40 steps. The last part of the run trained the codec, with 8 crops of\n0.51 s" in card
    )
    assert "## Probes" in card and "| tone 1,000 Hz, dB | 0, 0 |" in card
    assert "Not measured." in card and "denoise switch was not trained" in card
    assert "| speech | Debian talk | GPL-2/MIT | 2.0 |" in card and "### valid, 1 files" in card
    assert "| 40 | 5.0 | 4.0 | 1.5 |" in card and "| 60 |" not in card
    assert ckpt.load(folder / "small").progress.step == 40


def test_a_model_in_the_place_stays_without_force(folder, call, capsys):
    call("--quick", capsys=capsys)
    before = load_artifact(folder / "model").model_id
    make_run(folder / "other", seed=1)
    said, code = call("--quick", run="other", capsys=capsys)
    assert code == 1 and "replace it with --force" in said
    assert load_artifact(folder / "model").model_id == before
    said, code = call("--quick", "--force", run="other", capsys=capsys)
    assert code == 0 and load_artifact(folder / "model").model_id != before
    assert {path.name for path in folder.iterdir()} == {"model", "other", "run", "valid", "SOURCES.tsv"}


def test_a_folder_of_other_files_is_not_touched(folder, call, capsys):
    (folder / "model").mkdir()
    (folder / "model" / "thesis.txt").write_text("mine")
    said, code = call("--quick", "--force", capsys=capsys)
    assert code == 1 and "is no artifact" in said
    assert (folder / "model" / "thesis.txt").read_text() == "mine"


def test_quality_is_measured_compared_and_kept(folder, call, capsys):
    said, code = call(*CODECS, "--results", str(folder / "results"), capsys=capsys)
    assert code == 0
    names = ("quality", "training", "probes")
    quality, training, probed = (json.loads((folder / "results" / f"{name}.json").read_text()) for name in names)
    model_id = load_artifact(folder / "model").model_id.hex()
    assert quality["artifact"] == training["artifact"] == probed["artifact"] == model_id
    assert all(found.get(key) for found in (quality, training, probed) for key in ("command", "data", "date"))
    assert [row["step"] for row in training["rows"]] == [20, 40]
    assert len(quality["rows"]) == 2 * 3
    card = (folder / "model" / "README.md").read_text()
    assert "<!-- table: quality -->" in card and "| music | soundstream:3000 | 1 |" in card
    assert "<!-- table: probes -->" in card and "| harmonics 0.3-1.5 kHz | 1.00 |" in card
    assert (folder / "run" / "release" / "probes.png").is_file() and "probes.png" in said

    make_run(folder / "other", seed=1)
    said, code = call(*CODECS, "--work", str(folder / "run" / "release"), run="other", capsys=capsys)
    assert code == 1 and "--force" in said
    assert "before" in said and "soundstream:6000" in said and "+" in said
    assert load_artifact(folder / "model").model_id.hex() == model_id
    rows = (folder / "run" / "release" / "evaluation" / "rows.jsonl").read_text().splitlines()
    assert len(rows) == 6 + 4, "rows of the former model and of the anchor are not measured again"


def test_a_table_of_sources_without_its_columns_is_refused(folder, call, capsys):
    (folder / "SOURCES.tsv").write_text("path\tlicence\nx\tMIT\n")
    said, code = call("--quick", capsys=capsys)
    assert code == 1 and "category, origin, seconds" in said
    assert not (folder / "model").exists()


def test_validation_audio_that_is_silent_is_refused(folder, call, capsys):
    for name in ("speech/a.wav", "music/b.wav"):
        soundfile.write(folder / "valid" / name, np.zeros(RATE), RATE)
    said, code = call("--quick", capsys=capsys)
    assert code == 1 and "second of sound" in said


def test_the_settings_of_a_card_are_a_run_file():
    settings = TrainConfig().to_dict()
    shown = tomllib.loads(card._toml(settings))
    assert TrainConfig.from_dict(shown) == TrainConfig()


def test_tables_of_an_earlier_fit_are_taken_as_they_are(folder, call, capsys):
    path, shape = folder / "entropy.npz", (CONFIG.num_quantizers, CONFIG.codebook_size, CONFIG.latent_dim)
    entropy_tables.tables(shape=shape).save(path)
    assert call("--quick", "--tables", str(path), capsys=capsys)[1] == 0
    assert (folder / "model" / "entropy.npz").read_bytes() == path.read_bytes()
    assert soundstream.load(folder / "model").coding.default_mode(8) == "best"


def test_tables_of_another_model_are_refused(folder, call, capsys):
    entropy_tables.tables().save(folder / "entropy.npz")
    said, code = call("--quick", "--tables", str(folder / "entropy.npz"), capsys=capsys)
    assert code == 1 and "this model needs" in said and not (folder / "model").exists()
