"""Tokens of codecs that code channels together and have numbers beside their codes."""

import numpy as np
import pytest
import soundfile

from outside import paired
from soundstream import ConfigError, audio, load, tokens
from soundstream.export.artifact import export
from soundstream.tokens import Flat, TokenDataset, Vocabulary

RATE = 8_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("paired") / "model"
    export(paired.fresh(segment_frames=30), made)
    return made


def test_joint_channels_and_gains_come_back(folder, tmp_path):
    rng = np.random.default_rng(0)
    for name, channels in (("stereo", 2), ("mono", 1), ("three", 3)):
        (tmp_path / "data").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "data" / f"{name}.wav", rng.normal(0, 0.1, (7001, channels)), RATE)
    tokens.tokenize([tmp_path / "data"], tmp_path / "out", model=folder)
    opened, codec = tokens.open(tmp_path / "out"), load(folder)
    for i, one in enumerate(opened):
        pcm, rate = audio.read(one.source)
        expected = codec.to_codes(pcm, rate)
        np.testing.assert_array_equal(one.codes, expected)
        np.testing.assert_array_equal(opened.codes(i, 3, 9), expected[..., 3:12])
        back, _ = opened.to_pcm(i, codec=codec)
        assert back.shape == pcm.shape
        np.testing.assert_array_equal(back, codec.from_codes(expected, rate, pcm.shape[1], len(pcm)))
    with pytest.raises(ConfigError, match="numbers beside them"):
        TokenDataset(opened, Flat(Vocabulary.of(opened.spec, 1)), 30)
