"""Every pattern gives back the codes it was given, whole and while tokens come, and has the numbers that it says."""

import numpy as np
import pytest

from soundstream import ConfigError
from soundstream.tokens import PATTERNS, CodeStream, Delay, Flat, Parallel, Vocabulary

PLAIN = Vocabulary((16, 8, 4), (1, 1, 1))
STRIDED = Vocabulary((16, 8, 4), (4, 2, 1))
BOTH = pytest.mark.parametrize("vocabulary", [PLAIN, STRIDED, Vocabulary((16, 8, 4), (1, 1, 1), shared=False)])
EACH = pytest.mark.parametrize("name", PATTERNS)


def codes_of(vocabulary, frames, *batch):
    """Codes `[*batch, num_quantizers, frames]` that cover the frames that they should."""
    rng = np.random.default_rng(0)
    rows = [
        np.repeat(rng.integers(0, size, (*batch, -(-frames // stride))), stride, axis=-1)[..., :frames]
        for size, stride in zip(vocabulary.sizes, vocabulary.strides, strict=True)
    ]
    return np.stack(rows, axis=-2)


def test_the_patterns_are_those_of_the_picture():
    codes = np.array([[0, 1, 2], [3, 4, 5]])
    vocabulary = Vocabulary((10, 10), (1, 1))
    assert Parallel(vocabulary).encode(codes).tolist() == [[0, 1, 2], [13, 14, 15]]
    assert Delay(vocabulary).encode(codes).tolist() == [[0, 1, 2, 20], [20, 13, 14, 15]]
    assert Flat(vocabulary).encode(codes).tolist() == [0, 13, 1, 14, 2, 15]
    assert Delay(Vocabulary((10, 10), (1, 1), shared=False)).encode(codes).tolist() == [[0, 1, 2, 10], [10, 3, 4, 5]]


def test_strided_codes_are_flat_coarse_to_fine_each_once():
    codes = np.array([[9, 9, 9, 9], [1, 1, 2, 2], [0, 1, 2, 3]])
    flat = Flat(STRIDED).encode(codes) - np.array([0, 16, 24, 24, 16, 24, 24])
    assert flat.tolist() == [9, 1, 0, 1, 2, 2, 3]


@BOTH
@EACH
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_codes_come_back(vocabulary, name, batch):
    pattern = PATTERNS[name](vocabulary)
    for frames in (0, 4, 20):
        codes = codes_of(vocabulary, frames, *batch)
        tokens = pattern.encode(codes)
        assert tokens.shape[-1] == pattern.length(frames) and pattern.frames(tokens.shape[-1]) == frames
        np.testing.assert_array_equal(pattern.decode(tokens), codes)
        assert not tokens.size or tokens.max() < vocabulary.size - 2  # begin and end are no codes


@BOTH
@EACH
@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
def test_codes_come_back_while_tokens_come(vocabulary, name, step):
    pattern, codes = PATTERNS[name](vocabulary), codes_of(vocabulary, 24)
    tokens, stream = pattern.encode(codes), CodeStream(PATTERNS[name](vocabulary))
    parts = [stream.push(tokens[..., i : i + step]) for i in range(0, tokens.shape[-1], step)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=-1), codes)


@EACH
def test_frames_that_lack_codes_have_pads_there(name):
    codes = codes_of(PLAIN, 6)
    codes[1:, 3] = -1
    tokens = PATTERNS[name](PLAIN).encode(codes)
    assert (tokens == PLAIN.pad).sum() == 2 + (6 if name == "delay" else 0)
    np.testing.assert_array_equal(PATTERNS[name](PLAIN).decode(tokens), codes)


def test_the_numbers_of_a_vocabulary_do_not_meet():
    assert PLAIN.offsets == (0, 16, 24) and (PLAIN.pad, PLAIN.begin, PLAIN.end, PLAIN.size) == (28, 29, 30, 31)
    apart = Vocabulary((16, 8), (1, 1), shared=False)
    assert apart.offsets == (0, 0) and (apart.pad, apart.size) == (16, 19)


def test_a_vocabulary_is_that_of_the_first_codebooks(codec):
    assert Vocabulary.of(codec.spec, 3) == Vocabulary((1024,) * 3, (1,) * 3)
    with pytest.raises(ConfigError, match="num_quantizers is 9"):
        Vocabulary.of(codec.spec, 9)


def test_what_is_no_code_is_refused_by_its_place():
    tokens = Parallel(PLAIN).encode(codes_of(PLAIN, 5))
    tokens[1, 3] = PLAIN.end
    with pytest.raises(ConfigError, match="token 30 is no code of codebook 1, in frame 3"):
        Parallel(PLAIN).decode(tokens)
    with pytest.raises(ConfigError, match="token 5 is no code of codebook 1, in frame 0"):
        Flat(PLAIN).decode(np.array([5, 5, 5]))
    with pytest.raises(ConfigError, match=r"expected \[\.\.\., 3, frames\]"):
        Parallel(PLAIN).encode(np.zeros((2, 5), int))
    with pytest.raises(ConfigError, match="codes lie from 0 to 99"):
        Flat(PLAIN).encode(np.array([[0], [99], [0]]))
