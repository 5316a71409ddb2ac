"""What the README shows and the package ships."""

import re
from pathlib import Path

import numpy as np
import pytest

import soundstream
from soundstream import audio
from soundstream.analysis.mel import log_mel_distance
from soundstream.runtime.artifact import DEFAULT, MODELS, shipped

ROOT = Path(__file__).parent.parent
CLIPS = sorted((ROOT / "examples/clips").glob("*.flac"))


def test_the_python_of_the_readme_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    names = {}
    exec(code, names)
    assert names["decoded"].shape == (1, len(names["pcm"]))
    assert names["codes"].shape == (4, -(-len(names["pcm"]) // 320))


def test_the_shipped_models_fit_the_wheel():
    assert sum(path.stat().st_size for path in MODELS.rglob("*")) < 56_000_000


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_model_has_a_card_with_its_id(name):
    assert soundstream.load(name).model_id.hex() in (MODELS / name / "README.md").read_text()


def test_the_default_is_one_of_the_shipped_models():
    assert DEFAULT in shipped()
    assert soundstream.load().model_id == soundstream.load(DEFAULT).model_id


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.stem)
def test_the_shipped_model_follows_the_sound_and_better_with_more_bits(clip):
    pcm, sample_rate = audio.read(clip)
    pcm, distances = pcm[:, : 2 * sample_rate], []
    for bitrate in (1500, 3000, 6000, 12_000):
        decoded, _ = soundstream.decode(soundstream.encode(pcm, sample_rate, bitrate))
        distances.append(log_mel_distance(pcm[0], decoded[0], sample_rate))
    noise = np.square(pcm - decoded).sum()
    assert distances == sorted(distances, reverse=True)
    assert noise < 0.6 * np.square(pcm).sum()


def test_every_example_clip_has_its_licence_named():
    text = (ROOT / "examples/README.md").read_text()
    assert len(CLIPS) == 3 and all(f"clips/{clip.name}" in text for clip in CLIPS)
