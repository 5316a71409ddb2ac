"""The report of what the container costs."""

import numpy as np
import soundfile

from benchmarks import container


def test_lengths_are_exact_and_places_are_found(codec, tmp_path, monkeypatch):
    (tmp_path / "speech").mkdir()
    soundfile.write(tmp_path / "speech/a.wav", np.random.default_rng(0).normal(0, 0.1, 24_000), 24_000)
    monkeypatch.setattr(container, "HOUR_S", 60)
    monkeypatch.setattr(container, "PLACES", 2)
    report = container.measure(codec, tmp_path, tmp_path, (0.0, 1.0, 4.0))
    rows = report["rows"]
    assert len(rows) == 3 * codec.spec.num_quantizers and all(row["exact"] for row in rows)
    nothing, second, _ = (rows[i * codec.spec.num_quantizers] for i in range(3))
    assert (nothing["file_bytes"], nothing["payload_bytes"]) == (44 + 22, 0)
    assert second["file_bytes"] - second["payload_bytes"] == 44 + 22 + 12
    assert report["hour"]["file_bytes"] > 60 * 3000 / 8
    assert 0 < report["hour"]["find_ms_median"] <= report["hour"]["find_ms_worst"]
