"""Codebooks of several sizes and strides in a file: what the header says of them, and their plain codes."""

import io
from dataclasses import replace

import numpy as np
import pytest

from soundstream.bitstream import Header
from soundstream.bitstream.fields import with_crc
from soundstream.entropy import PlainCoder
from soundstream.errors import ConfigError, InvalidField, Truncated, UnsupportedVersion

STACK = ((12, 4), (10, 2), (12, 1))
HEADER = Header(b"modelid!", 24_000, 2, 24_000, 512, codebook_bits=12, num_quantizers=3, stack=STACK)


def codes(channels=2, frames=16, seed=0):
    found = np.random.default_rng(seed).integers(0, 1 << 10, (channels, 3, frames))
    frame = np.arange(frames)
    return np.stack([found[:, q, frame - frame % stride] for q, (_, stride) in enumerate(STACK)], axis=1)


def test_the_stack_stands_between_samples_and_tags():
    data = HEADER.to_bytes()
    assert (data[4], data[7:9]) == (2, b"\x02\x00")
    assert data[39:46] == bytes([12, 4, 10, 2, 12, 1, 0])
    both = replace(HEADER, lead_in=7, tags={"a": "b"}).to_bytes()
    assert both[7:9] == b"\x03\x00" and both[39:49] == bytes([7, 0, 0, 0, 12, 4, 10, 2, 12, 1])


@pytest.mark.parametrize("header", [HEADER, replace(HEADER, lead_in=7, tags={"title": "x"}), replace(HEADER, stack=())])
def test_a_header_comes_back(header):
    assert Header.read(io.BytesIO(header.to_bytes())) == header


def test_codebooks_that_are_alike_stay_of_version_1():
    assert replace(HEADER, stack=()).version == 1
    with pytest.raises(ConfigError, match="not all alike"):
        replace(HEADER, stack=((12, 1),) * 3)


@pytest.mark.parametrize(
    ("stack", "words"),
    [
        (((12, 4), (12, 1)), "stack is of 2 codebooks; expected 3"),
        (((12, 4), (13, 2), (12, 1)), "bits of a code is 13"),
        (((12, 65), (10, 2), (12, 1)), "stride is 65"),
        (((10, 4), (10, 2), (10, 1)), "expected the most of the stack"),
    ],
    ids=str,
)
def test_stacks_that_cannot_be_are_refused(stack, words):
    with pytest.raises(ConfigError, match=words):
        replace(HEADER, stack=stack)


def test_the_rate_counts_the_frames_that_a_code_covers():
    assert HEADER.bitrate == round(24_000 / 512 * (12 / 4 + 10 / 2 + 12))
    assert (HEADER.granule, HEADER.frame_bits(2)) == (4, 8)


def test_flags_of_later_releases_are_refused():
    data = bytearray(HEADER.to_bytes())
    data[7] |= 32
    with pytest.raises(UnsupportedVersion, match="0x0022"):
        Header.read(io.BytesIO(with_crc(bytes(data[:-4]))))


@pytest.mark.parametrize("length", range(40, len(HEADER.to_bytes())))
def test_a_header_that_ends_early_is_told(length):
    with pytest.raises((Truncated, InvalidField)):
        Header.read(io.BytesIO(HEADER.to_bytes()[:length]))


def test_a_code_stands_in_the_first_frame_that_it_covers():
    """The bits of the payload, one by one."""
    found, expected = codes(), ""
    for frame in range(16):
        for channel in range(2):
            for q, (bits, stride) in enumerate(STACK):
                expected += f"{found[channel, q, frame]:0{bits}b}" if frame % stride == 0 else ""
    payload = PlainCoder(12, STACK).encode(found)
    assert "".join(f"{byte:08b}" for byte in payload).startswith(expected) and len(payload) == -(-len(expected) // 8)
    assert PlainCoder(12, STACK).bits(found).sum() == len(expected)


@pytest.mark.parametrize("shape", [(1, 3, 4), (2, 3, 0), (2, 2, 8), (3, 1, 12), (8, 3, 64)], ids=str)
def test_codes_come_back(shape):
    found, coder = codes(shape[0], shape[2], seed=1)[:, : shape[1]], PlainCoder(12, STACK)
    np.testing.assert_array_equal(coder.decode(coder.encode(found), shape), found)


def test_frames_that_codes_do_not_cover_evenly_are_refused():
    coder = PlainCoder(12, STACK)
    with pytest.raises(ConfigError, match="6 frames; expected whole codes, which cover 4"):
        coder.encode(codes()[:, :, :6])
    with pytest.raises(InvalidField, match="6 frames; expected whole codes, which cover 4"):
        coder.decode(bytes(30), (2, 3, 6))


def test_codes_above_their_own_codebook_are_refused():
    found = codes()
    found[:, 1] = 1 << 10
    with pytest.raises(ConfigError, match="expected 0 to"):
        PlainCoder(12, STACK).encode(found)
