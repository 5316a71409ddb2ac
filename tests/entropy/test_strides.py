"""Entropy coding of codebooks of several sizes and strides: exact, alone and side by side, and worth its bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import entropy_reference as reference
import entropy_tables as made
from soundstream.entropy import ContextCoder, StaticCoder, Tables
from soundstream.entropy.bounds import TOTAL
from soundstream.errors import ArtifactError, CodesMismatch, ConfigError, InvalidField
from soundstream.train.entropy_fit import FitConfig, fit

STACK = ((5, 4), (3, 2), (4, 1), (5, 1))
SIZES, STRIDES = [32, 8, 16, 32], [4, 2, 1, 1]


def codes(channels=1, num_quantizers=4, frames=16, seed=0):
    """Codes of the stack, each in all frames that it covers."""
    found, frame = np.random.default_rng(seed).integers(0, 32, (channels, 4, frames)), np.arange(frames)
    books = [found[:, q, frame - frame % STRIDES[q]] % SIZES[q] for q in range(num_quantizers)]
    return np.stack(books, axis=1)


def coders(seed=0, strength=40):
    tables = made.tables(seed, strength, sizes=SIZES)
    return {"static": StaticCoder(tables, STACK), "context": ContextCoder(tables, made.codebooks(seed), STACK)}


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 3),
    num_quantizers=st.integers(1, 4),
    granules=st.integers(0, 5),
    payloads=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_codes_and_bytes_are_those_of_the_plain_coder(channels, num_quantizers, granules, payloads, seed):
    tables, books = made.tables(seed % 100, 40, sizes=SIZES), made.codebooks(seed % 100)
    clips = [codes(channels, num_quantizers, 4 * granules, seed + i) for i in range(payloads)]
    coder = ContextCoder(tables, books, STACK)
    packed = [coder.encode(clip) for clip in clips]
    assert packed == [reference.encode(tables, books, clip, STRIDES[:num_quantizers]) for clip in clips]
    np.testing.assert_array_equal(coder.decode_batch(packed, clips[0].shape), clips)


@pytest.mark.parametrize("mode", ["static", "context"])
@pytest.mark.parametrize("shape", [(1, 4, 16), (3, 2, 8), (2, 1, 4), (1, 3, 4)], ids=str)
def test_codes_come_back_and_cost_what_is_said(mode, shape):
    coder, clip = coders()[mode], codes(*shape, seed=1)
    payload = coder.encode(clip)
    np.testing.assert_array_equal(coder.decode(payload, shape), clip)
    assert 8 * len(payload) == pytest.approx(coder.bits(clip).sum() + 16, abs=10)


def test_a_code_costs_its_bits_once():
    tables, clip = made.tables(sizes=SIZES), codes()
    spent = StaticCoder(tables, STACK).bits(clip)
    for q, stride in enumerate(STRIDES):
        assert spent[q] == pytest.approx(-np.log2(tables.static[q, clip[0, q, ::stride]] / TOTAL).sum())


@pytest.mark.parametrize("mode", ["static", "context"])
def test_frames_that_codes_do_not_cover_evenly_are_refused(mode):
    coder = coders()[mode]
    with pytest.raises(ConfigError, match="6 frames; expected whole codes, which cover 4"):
        coder.encode(codes()[:, :, :6])
    (found,) = coder.decode_batch([bytes(8)], (1, 4, 6))
    assert isinstance(found, InvalidField)


@pytest.mark.parametrize("mode", ["static", "context"])
def test_codes_above_their_own_codebook_are_refused(mode):
    clip = codes()
    clip[:, 1] = 8
    with pytest.raises(ConfigError, match="expected 0 to"):
        coders()[mode].encode(clip)


@pytest.mark.parametrize("mode", ["static", "context"])
def test_bytes_of_other_codes_are_a_mismatch(mode):
    coder = coders()[mode]
    with pytest.raises(CodesMismatch):
        coder.decode(coder.encode(codes(seed=1))[:-2], (1, 4, 16))


def test_tables_of_other_sizes_are_refused():
    for stack, sizes in (((), SIZES), (STACK, None)):
        with pytest.raises(ArtifactError, match="entries; this model has"):
            StaticCoder(made.tables(sizes=sizes), stack)


def test_tables_with_holes_are_refused():
    static = made.tables(sizes=SIZES).static.copy()
    static[1, :2] = 0, TOTAL - static[1, 2:].sum()
    with pytest.raises(ArtifactError, match="range of static"):
        made.tables(static=static)


def test_fitted_tables_learn_what_follows_from_the_past(tmp_path):
    """Codes of which all are drawn anew in one granule of four, and held between."""
    rng, clips = np.random.default_rng(0), []
    for seed in range(40):
        drawn, granule = codes(frames=200, seed=seed)[0], np.arange(200) // 4
        since = np.maximum.accumulate(np.where(rng.random(50) < 1 / 4, np.arange(50), 0))[granule]
        clips.append(drawn[:, 4 * since].astype(np.int16))
    config = FitConfig(hidden=32, steps=120, crops=4, crop_frames=30, learning_rate=1e-2)
    fit(clips[1:], made.codebooks(), config, stack=STACK).save(tmp_path / "entropy.npz")
    tables = Tables.load(tmp_path / "entropy.npz")
    assert tables.sizes.tolist() == SIZES
    coder, clip = ContextCoder(tables, made.codebooks(), STACK), clips[0].astype(np.int64)[None]
    payload = coder.encode(clip)
    np.testing.assert_array_equal(coder.decode(payload, clip.shape), clip)
    assert len(payload) < 0.7 * len(StaticCoder(tables, STACK).encode(clip))
