"""The context coder gives the codes and bytes of its plain twin, whatever the tables, shapes and batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import entropy_reference as reference
import entropy_tables as made
from soundstream.entropy import ContextCoder
from soundstream.entropy.ans import Decoders
from soundstream.entropy.context_coder import decode_side_by_side

SIZES = [(24, 32, 4, 5), (8, 128, 6, 16), (4, 256, 3, 130), (3, 100, 16, 8)]
"""Codebooks, their size, their dimension, and hidden units."""


def random_model(size, seed, strength=40, bias=1000):
    """Tables and codebooks with biases up to `bias`."""
    count, entries, dim, hidden = size
    rng = np.random.default_rng(seed)

    def weights(*shape):
        return rng.integers(-strength, strength + 1, shape).astype(np.int8)

    def biases(*shape):
        return rng.integers(-bias, bias + 1, shape).astype(np.int32)

    tables = made.tables(
        seed,
        shape=(count, entries, dim),
        vector_shifts=rng.integers(-2, 7, count).astype(np.int32),
        hidden_weights=weights(count, hidden, 6 * dim),
        hidden_biases=biases(count, hidden),
        hidden_shifts=rng.integers(0, 12, count).astype(np.int32),
        output_weights=weights(count, entries, hidden),
        output_biases=biases(count, entries),
        output_shifts=rng.integers(0, 9, count).astype(np.int32),
    )
    books = rng.normal(0, 1, (count, entries, dim)).astype(np.float16).astype(np.float32)
    return tables, books


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from(SIZES),
    channels=st.integers(1, 8),
    num_quantizers=st.integers(1, 24),
    frames=st.integers(0, 5),
    payloads=st.integers(1, 4),
    strength=st.sampled_from([1, 20, 127]),
    bias=st.sampled_from([100, 100_000, 2**24, 2**29]),
    seed=st.integers(0, 2**32 - 1),
)
def test_codes_and_bytes_are_those_of_the_plain_coder(
    size, channels, num_quantizers, frames, payloads, strength, bias, seed
):
    tables, books = random_model(size, seed, strength, bias)
    shape = channels, min(num_quantizers, size[0]), frames
    codes = np.random.default_rng(seed).integers(0, size[1], (payloads, *shape))
    coder = ContextCoder(tables, books)
    packed = [coder.encode(clip) for clip in codes]
    assert packed == [reference.encode(tables, books, clip) for clip in codes]
    np.testing.assert_array_equal(coder.decode_batch(packed, shape), codes)


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from(SIZES),
    channels=st.integers(1, 3),
    frames=st.integers(1, 4),
    payloads=st.lists(
        st.one_of(st.binary(max_size=40), st.binary(max_size=20).map(lambda b: bytes(6) + b)), max_size=4
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_bytes_hold_the_same_codes_as_for_the_plain_coder(size, channels, frames, payloads, seed):
    tables, books = random_model(size, seed)
    shape, decoders = (channels, 3, frames), Decoders(payloads)
    found = decode_side_by_side(ContextCoder(tables, books).model, decoders, shape)
    for i, payload in enumerate(payloads):
        codes, decoder = reference.decode(tables, books, payload, shape)
        np.testing.assert_array_equal(found[i], codes)
        assert decoders.slots()[i] == decoder.slot


@pytest.mark.parametrize("frames", [1, 63, 64, 65, 130])
def test_long_payloads_are_those_of_the_plain_coder(frames):
    tables, books = random_model(SIZES[1], frames)
    codes = np.random.default_rng(frames).integers(0, SIZES[1][1], (1, 2, frames))
    assert ContextCoder(tables, books).encode(codes) == reference.encode(tables, books, codes)
