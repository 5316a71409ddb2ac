"""The report of what entropy coding saves."""

import numpy as np
import pytest
import soundfile

import entropy_tables
from benchmarks.entropy import _zero_order, measure
from soundstream import Codec
from soundstream.codec.packing import Coding
from soundstream.errors import ConfigError


def test_rows_for_every_class_and_rate(codec, tmp_path, monkeypatch):
    for i, name in enumerate(("music/a.wav", "speech/b.wav", "speech/c.flac")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.random.default_rng(i).normal(0, 0.1, 24_000 * 3), 24_000)
    spec = codec.spec
    shape = spec.num_quantizers, spec.codebooks[0].size, spec.latent_dim
    tables = entropy_tables.tables(strength=9, shape=shape)
    monkeypatch.setattr(codec, "coding", Coding(spec.codebook_bits, codec.model.quantizer.codebooks, tables))
    rows = measure(codec, tmp_path, (750, 3000))
    assert [(row.content_class, row.bitrate, row.seconds) for row in rows] == [
        (name, bitrate, seconds)
        for name, seconds in (("music", 3), ("speech", 6), ("all", 9))
        for bitrate in (750, 3000)
    ]
    for row in rows:
        assert row.zero_order <= row.bitrate and row.ideal < row.best < row.ideal * 1.01 + 20
        assert row.best < row.file
        assert row.adaptive > 0 and row.mixed > 0
        assert row.saved == pytest.approx(1 - row.file / row.bitrate, abs=1e-3)


def test_a_model_without_tables_is_refused(codec: Codec, tmp_path):
    with pytest.raises(ConfigError, match="fit-entropy"):
        measure(codec, tmp_path)


def test_zero_order_entropy_of_known_codes():
    assert _zero_order(np.array([[0, 1, 2, 3], [5, 5, 5, 5]])) == 8.0
