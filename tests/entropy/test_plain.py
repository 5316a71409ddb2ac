import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstream.entropy import PlainCoder
from soundstream.errors import ConfigError, InvalidField


@given(
    codebook_bits=st.integers(1, 16),
    shape=st.tuples(st.integers(1, 8), st.integers(1, 24), st.integers(0, 20)),
    seed=st.integers(0, 2**32 - 1),
)
def test_codes_come_back(codebook_bits, shape, seed):
    codes = np.random.default_rng(seed).integers(0, 1 << codebook_bits, shape)
    coder = PlainCoder(codebook_bits)
    payload = coder.encode(codes)
    assert len(payload) == coder.payload_length(shape)
    decoded = coder.decode(payload, shape)
    assert decoded.dtype == np.int64
    np.testing.assert_array_equal(decoded, codes)


def test_bytes_are_frame_after_frame_and_high_bit_first():
    codes = np.array([[[1, 5], [2, 6]], [[3, 7], [4, 0]]])  # [channels, num_quantizers, frames]
    expected = "001010011100101110111000"
    assert PlainCoder(3).encode(codes) == int(expected, 2).to_bytes(3, "big")


def test_the_last_byte_is_filled_with_zeros():
    assert PlainCoder(10).encode(np.array([[[1023]]])) == b"\xff\xc0"


def test_a_set_bit_after_the_last_code_is_refused():
    with pytest.raises(InvalidField, match="after the last code"):
        PlainCoder(10).decode(b"\xff\xc1", (1, 1, 1))


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\0\0"])
def test_a_payload_of_another_length_is_refused(payload):
    with pytest.raises(InvalidField, match="expected 2"):
        PlainCoder(10).decode(payload, (1, 1, 1))


@pytest.mark.parametrize(
    "codes",
    [
        np.array([[[1024]]]),
        np.array([[[-1]]]),
        np.array([[1]]),
        np.array([[[0.5]]]),
    ],
    ids=["too large", "negative", "two dimensions", "float"],
)
def test_codes_that_do_not_fit_are_refused(codes):
    with pytest.raises(ConfigError):
        PlainCoder(10).encode(codes)


@pytest.mark.parametrize("codebook_bits", [0, 17])
def test_codebook_bits_have_limits(codebook_bits):
    with pytest.raises(ConfigError, match="codebook_bits"):
        PlainCoder(codebook_bits)
