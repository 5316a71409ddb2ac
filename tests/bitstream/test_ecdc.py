"""EnCodec's own files: bytes written out by hand, round trips, and damage that is named."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundstream.bitstream.ecdc import STEREO, Ecdc, pack, parse
from soundstream.errors import BadMagic, BitstreamError, InvalidField, Truncated, UnsupportedVersion

HEADER = b'{"m": "encodec_24khz", "al": 321, "nc": 2, "lm": false}'
CODES = [[1, 1023], [2, 512]]
PAYLOAD = (1 | 2 << 10 | 1023 << 20 | 512 << 30).to_bytes(5, "little")
"""Frame by frame, codebooks inner, as one whole number."""
WHOLE = b"ECDC\0" + len(HEADER).to_bytes(4, "big") + HEADER + PAYLOAD


def with_header(**changes):
    header = json.dumps(json.loads(HEADER) | changes).encode()
    return b"ECDC\0" + len(header).to_bytes(4, "big") + header + PAYLOAD


def test_bytes_written_by_hand_are_read_and_written():
    found = parse(WHOLE)
    assert (found.codes.tolist(), found.num_samples) == (CODES, 321)
    assert pack(found) == WHOLE


@given(count=st.integers(1, 32), samples=st.integers(0, 5000), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_codes_come_back(count, samples, seed):
    codes = np.random.default_rng(seed).integers(0, 1024, (count, -(-samples // 320)))
    data = pack(Ecdc(codes, samples))
    found = parse(data)
    np.testing.assert_array_equal(found.codes, codes)
    assert found.num_samples == samples and pack(found) == data


def test_a_length_that_the_original_reader_miscounts_is_read():
    codes = np.ones((2, 168), np.int64)
    assert parse(pack(Ecdc(codes, 53_760))).codes.shape == (2, 168)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", BadMagic, "not an .ecdc"),
        (b"RIFF" + WHOLE, BadMagic, "not an .ecdc"),
        (b"ECDC\1" + WHOLE[5:], UnsupportedVersion, "version 1"),
        (with_header(m="encodec_16khz"), UnsupportedVersion, "of encodec_16khz; only those of encodec_24khz and"),
        (with_header(m=["encodec_24khz"]), UnsupportedVersion, "only those of encodec_24khz and"),
        (with_header(m="encodec_48khz", nc=17), InvalidField, "17 codebooks; expected 1 to 16"),
        (with_header(m="encodec_48khz", al=10**9), Truncated, "5 bytes of codes"),
        (with_header(lm=True), UnsupportedVersion, "language model"),
        (with_header(nc=33), InvalidField, "33 codebooks; expected 1 to 32"),
        (with_header(al=-1), InvalidField, "-1 samples"),
        (with_header(al=True), InvalidField, "True samples"),
        (with_header(al=10**9), Truncated, "5 bytes of codes"),
        (WHOLE[:-1], Truncated, "4 bytes of codes; its header says more"),
        (WHOLE[:30], InvalidField, "header .* is damaged"),
        (WHOLE + b"\0", InvalidField, "behind its last code"),
        (b"ECDC\0\xff\xff\xff\xff", InvalidField, "4,294,967,295 bytes"),
    ],
)
def test_other_bytes_are_refused_by_name(data, error, words):
    with pytest.raises(error, match=words):
        parse(data)


def test_bits_behind_the_last_code_are_damage():
    data = pack(Ecdc(np.ones((1, 1), np.int64), 3))
    with pytest.raises(InvalidField, match="behind"):
        parse(data[:-1] + bytes([data[-1] | 0x80]))


STEREO_HEADER = b'{"m": "encodec_48khz", "al": 47521, "nc": 2, "lm": false}'
"""Of 149 frames, and of one that is the whole of a second segment."""


def stereo(first=b"\x3f\x80\0\0", second=b"\x3e\x80\0\0"):
    """With codes that are all 1, gains of 1 and 1/4."""
    one_frame = 1 | 1 << 10
    codes = sum(one_frame << 20 * i for i in range(149)).to_bytes(373, "little")
    body = first + codes + second + one_frame.to_bytes(3, "little")
    return b"ECDC\0" + len(STEREO_HEADER).to_bytes(4, "big") + STEREO_HEADER + body


def test_segments_of_the_stereo_model_have_gains_and_begin_with_a_byte():
    found = parse(stereo())
    assert (found.kind, found.codes.shape, found.gains.tolist()) == (STEREO, (2, 150), [1.0, 0.25])
    assert (found.codes == 1).all() and pack(found) == stereo()


@given(count=st.integers(1, 16), samples=st.integers(0, 200_000), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_stereo_codes_and_gains_come_back(count, samples, seed):
    rng, frames = np.random.default_rng(seed), STEREO.frames(samples)
    gains = rng.uniform(0, 1, len(frames)).astype(np.float32)
    data = pack(Ecdc(rng.integers(0, 1024, (count, sum(frames))), samples, STEREO, gains))
    found = parse(data)
    np.testing.assert_array_equal(found.gains, gains)
    assert pack(found) == data
    if samples:
        with pytest.raises(Truncated):
            parse(data[:-1])


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(1, [1]), (47_520, [149]), (47_521, [149, 1]), (48_000, [150, 2]), (48_001, [150, 2]), (95_040, [150, 149])],
)
def test_the_stereo_model_begins_a_segment_every_47520_samples(samples, frames):
    assert STEREO.frames(samples) == frames


@pytest.mark.parametrize("gain", [b"\x7f\x80\0\0", b"\x7f\xc0\0\0", b"\xbf\x80\0\0"], ids=["inf", "nan", "-1"])
def test_a_gain_that_is_none_is_damage(gain):
    with pytest.raises(InvalidField, match="has the gain"):
        parse(stereo(second=gain))


@given(st.binary(max_size=80))
@settings(deadline=None)
def test_any_bytes_are_a_file_or_refused_by_name(tail):
    for data in (WHOLE[: -len(PAYLOAD)] + tail, b"ECDC\0" + tail, tail):
        try:
            found = parse(data)
        except BitstreamError:
            continue
        assert found.codes.shape == (2, 2) and pack(found) == data
