"""Parts of files and files joined: the same codes, packed anew."""

from __future__ import annotations

import io

import numpy as np
import pytest

from soundstream import Codec, ConfigError, ModelMismatch
from soundstream.bitstream import Reader
from soundstream.codec.editing import cat, cut


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (1, samples)).astype(np.float32)


def opened(data: bytes) -> Reader:
    return Reader(io.BytesIO(data))


def codes_of(codec: Codec, data: bytes) -> np.ndarray:
    reader = opened(data)
    return np.concatenate(list(codec.coding.unpack(reader, reader.header)), axis=2)


@pytest.mark.parametrize("part", [(0.0, None), (0.5, 1.7), (2.0, 4.0), (1.999, 5.2), (4.9, 60.0)])
def test_a_part_has_the_codes_of_its_time(codec: Codec, part: tuple[float, float | None]) -> None:
    data = codec.encode(noise(24_000 * 5 + 100), 24_000, 1500, {"title": "x"})
    out = io.BytesIO()
    cut(codec, opened(data), out, *part)
    start, end = part
    first = int(start * 75)
    codes, found = codes_of(codec, data), codes_of(codec, out.getvalue())
    np.testing.assert_array_equal(found, codes[:, :, first : first + found.shape[2]])
    samples = min(5 * 24_000 + 100, round((end or 99) * 24_000)) - first * 320
    assert codec.decode(out.getvalue())[0].shape == (1, samples)
    assert opened(out.getvalue()).header.tags == {"title": "x"}


def test_a_part_sounds_like_the_whole_after_a_moment(codec: Codec) -> None:
    data, out = codec.encode(noise(24_000 * 6), 24_000, 1500), io.BytesIO()
    cut(codec, opened(data), out, 2.0, 5.0)
    whole, part = codec.decode(data)[0], codec.decode(out.getvalue())[0]
    np.testing.assert_allclose(part[:, 24_000 : 3 * 24_000 - 400], whole[:, 72_000 : 5 * 24_000 - 400], atol=1e-4)


@pytest.mark.parametrize("part", [(3.0, 3.0), (4.0, 3.0), (9.0, None), (9.0, 10.0), (-1.0, 2.0)])
def test_an_empty_part_is_refused(codec: Codec, part: tuple[float, float | None]) -> None:
    with pytest.raises(ConfigError):
        cut(codec, opened(codec.encode(noise(24_000 * 5), 24_000, 750)), io.BytesIO(), *part)


def test_joined_files_play_one_after_the_other(codec: Codec) -> None:
    lengths = (24_000, 0, 3 * 320, 777)
    files = [codec.encode(noise(n, i), 24_000, 750 * (1 + i % 2), {"n": str(i)}) for i, n in enumerate(lengths)]
    out = io.BytesIO()
    cat(codec, [opened(data) for data in files], out)
    reader = opened(out.getvalue())
    packets = list(reader)
    assert [packet.num_quantizers for packet in packets] == [1, 1, 2]
    assert (reader.header.num_quantizers, reader.header.tags) == (2, {"n": "0"})
    frames = sum(packet.frames for packet in packets[:-1])
    assert codec.decode(out.getvalue())[0].shape == (1, frames * 320 + 777)


def test_files_that_do_not_fit_together_are_refused(codec: Codec, other_codec: Codec) -> None:
    data = codec.encode(noise(700), 24_000, 750)
    with pytest.raises(ConfigError, match="sample_rate"):
        cat(codec, [opened(data), opened(codec.encode(noise(700), 48_000, 750))], io.BytesIO())
    with pytest.raises(ModelMismatch):
        cat(codec, [opened(data), opened(other_codec.encode(noise(700), 24_000, 750))], io.BytesIO())
    with pytest.raises(ConfigError, match="no files"):
        cat(codec, [], io.BytesIO())
