"""Parts beside their whole."""

import numpy as np

from benchmarks.cut_parts import PARTS_S, compare, join


def test_parts_sound_as_the_whole_does_and_make_it_again(codec):
    pcm = np.random.default_rng(0).normal(0, 0.1, 24_000 * 6)
    data = codec.encode(pcm, 24_000, 1500)
    rows = list(compare(codec, data, codec.decode(data)[0]))
    assert [row["start_s"] for row in rows] == [start_s for start_s, _ in PARTS_S]
    assert all(row["largest_difference"] < 1e-5 and 0 < row["bytes"] < len(data) for row in rows)
    assert compare(codec, data, np.zeros((1, 24_000 * 6))).__next__()["largest_difference"] > 1e-3
    joined = join(codec, data, 5, 0)
    assert joined["same_payloads"] and joined["samples_joined"] == joined["samples"] == 24_000 * 6
    assert joined["bytes_of_parts"] > joined["bytes"] == len(data)
