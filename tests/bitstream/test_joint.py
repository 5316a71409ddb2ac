"""Joint channels and side numbers in the header: where they stand, and what cannot be."""

import io
from dataclasses import replace

import pytest

from soundstream.bitstream import Header
from soundstream.bitstream.fields import with_crc
from soundstream.errors import ConfigError, InvalidField, Truncated

HEADER = Header(b"modelid!", 48_000, 2, 48_000, 320, 10, 4, joint_channels=2, side_numbers=1)
STACK = ((10, 2), (9, 1), (10, 1), (10, 1))


def test_they_stand_behind_the_stack():
    data = HEADER.to_bytes()
    assert (data[4], data[7:9], data[39:42]) == (2, b"\x0c\x00", b"\x02\x01\x00")
    full = replace(HEADER, lead_in=7, stack=STACK).to_bytes()
    assert full[7] == 15 and full[39:54] == bytes([7, 0, 0, 0, 10, 2, 9, 1, 10, 1, 10, 1, 2, 1, 0])


@pytest.mark.parametrize(
    "change", [{}, {"joint_channels": 1}, {"side_numbers": 0}, {"stack": STACK, "lead_in": 3}], ids=str
)
def test_a_header_comes_back(change):
    header = replace(HEADER, **change)
    assert Header.read(io.BytesIO(header.to_bytes())) == header and header.version == 2


@pytest.mark.parametrize(("channels", "joint", "streams"), [(1, 2, 1), (2, 2, 1), (3, 2, 2), (8, 3, 3), (4, 1, 4)])
def test_channels_make_streams(channels, joint, streams):
    header = replace(HEADER, channels=channels, joint_channels=joint)
    assert (header.streams, header.side_bytes) == (streams, 4 * streams)
    assert header.payload_limit(150, 4) == 2 * 750 * streams + 16 + 4 * streams


@pytest.mark.parametrize("change", [{"joint_channels": 9}, {"joint_channels": 0}, {"side_numbers": 65}], ids=str)
def test_numbers_out_of_range_are_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        replace(HEADER, **change)


@pytest.mark.parametrize(("place", "value"), [(39, 1), (39, 0), (39, 9), (40, 0), (40, 65)])
def test_a_field_that_says_nothing_or_too_much_is_refused(place, value):
    data = bytearray(HEADER.to_bytes()[:-4])
    data[place] = value
    with pytest.raises(InvalidField):
        Header.read(io.BytesIO(with_crc(bytes(data))))


@pytest.mark.parametrize("length", range(44, len(HEADER.to_bytes())))
def test_a_header_that_ends_early_is_told(length):
    data = bytearray(HEADER.to_bytes()[: length - 4])
    data[5] = length
    for cut in (HEADER.to_bytes()[:length], with_crc(bytes(data))):
        with pytest.raises((Truncated, InvalidField)):
            Header.read(io.BytesIO(cut))
