"""Frames of several numbers of codebooks: the counts, and codes that are not there in every entropy coder."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import entropy_reference as reference
import entropy_tables as made
from soundstream.entropy import ContextCoder, PlainCoder, StaticCoder
from soundstream.entropy.counts import decode_counts, encode_counts
from soundstream.errors import CodesMismatch, ConfigError, InvalidField


def coders(seed=0):
    tables = made.tables(seed, 40)
    return {
        "plain": PlainCoder(5),
        "static": StaticCoder(tables),
        "context": ContextCoder(tables, made.codebooks(seed)),
    }


def counted(channels=1, frames=20, seed=0, most=made.QUANTIZERS):
    """Codes of 1 to `most` codebooks a frame, -1 behind them, and how many these are."""
    counts = np.random.default_rng(seed).integers(1, most + 1, (channels, frames))
    codes = made.codes(channels, most, frames, seed)
    codes[np.arange(most)[:, None] >= counts[:, None]] = -1
    return codes, counts


@settings(max_examples=40, deadline=None)
@given(streams=st.integers(1, 4), most=st.integers(1, 128), frames=st.integers(0, 60), seed=st.integers(0, 2**32 - 1))
def test_counts_come_back(streams, most, frames, seed):
    counts = np.random.default_rng(seed).integers(1, most + 1, (streams, frames))
    payload = encode_counts(counts, most)
    np.testing.assert_array_equal(decode_counts(payload, streams, most, frames), counts)
    assert len(payload) <= 16 + 3 * counts.size


def test_counts_that_stay_near_cost_less_than_plain_ones():
    walk = np.random.default_rng(0).choice([-1, 0, 0, 0, 1], 172).cumsum()
    counts = 1 + np.abs(walk % 14 - 7)[None]
    assert 8 * len(encode_counts(counts, 8)) < 0.75 * 3 * 172
    assert 8 * len(encode_counts(np.full((1, 172), 5), 8)) < 172


@settings(max_examples=40, deadline=None)
@given(payload=st.binary(max_size=30))
def test_random_bytes_are_no_counts(payload):
    with pytest.raises(CodesMismatch):
        decode_counts(payload, 1, 8, 10)


@settings(max_examples=20, deadline=None)
@given(channels=st.integers(1, 3), frames=st.integers(0, 8), seed=st.integers(0, 2**32 - 1))
def test_codes_and_bytes_are_those_of_the_plain_context_coder(channels, frames, seed):
    tables, books = made.tables(seed % 50, 40), made.codebooks(seed % 50)
    codes, counts = counted(channels, frames, seed)
    coder = ContextCoder(tables, books)
    payload = coder.encode(codes)
    assert payload == reference.encode(tables, books, codes)
    np.testing.assert_array_equal(coder.decode(payload, codes.shape, counts), codes)


@pytest.mark.parametrize("name", ["plain", "static", "context"])
@pytest.mark.parametrize(("channels", "frames"), [(1, 20), (3, 7), (2, 1), (1, 0)])
def test_codes_come_back_and_cost_what_is_said(name, channels, frames):
    coder, (codes, counts) = coders()[name], counted(channels, frames)
    payload = coder.encode(codes)
    np.testing.assert_array_equal(coder.decode(payload, codes.shape, counts), codes)
    assert 8 * len(payload) == pytest.approx(coder.bits(codes).sum() + 10, abs=24)


def test_plain_codes_that_are_not_there_take_no_bits():
    codes, counts = counted(2, 9)
    assert len(PlainCoder(5).encode(codes)) == -(-5 * counts.sum() // 8)
    with pytest.raises(InvalidField, match="expected"):
        PlainCoder(5).decode(bytes(200), codes.shape, counts)


@pytest.mark.parametrize("name", ["plain", "static", "context"])
@pytest.mark.parametrize("gap", [(0, 0), (0, slice(None)), (1, 3), (3, 2, -2)], ids=str)
def test_gaps_that_are_no_ends_of_frames_are_refused(name, gap):
    codes = made.codes(1, 4, 6)
    codes[0, gap[0], gap[1]] = gap[2] if len(gap) > 2 else -1
    with pytest.raises(ConfigError, match="expected 0 to"):
        coders()[name].encode(codes)
