"""Clips joined to long files."""

import numpy as np
import soundfile

from benchmarks.joined_clips import SAMPLE_RATE, write


def test_classes_take_turns_with_silence_between(tmp_path):
    levels = {"music/a": 0.1, "speech/b": 0.4, "music/c": 0.1, "speech/d": 0.4}
    for name, level in levels.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "in" / f"{name}.flac", np.full(SAMPLE_RATE // 10, level), SAMPLE_RATE)
    first, second = write(tmp_path / "in", tmp_path / "out", count=3)
    pcm, rate = soundfile.read(first)
    assert rate == SAMPLE_RATE and soundfile.info(second).frames < len(pcm)
    changes = np.flatnonzero(np.diff(pcm))
    np.testing.assert_allclose(pcm[[0, *(changes + 1)]], [0.1, 0, 0.4, 0, 0.1, 0], atol=1e-4)
    silences = np.diff(changes)[::2] / SAMPLE_RATE
    assert ((silences >= 0.5 - 1e-3) & (silences <= 3)).all() and len(set(silences)) == len(silences)
