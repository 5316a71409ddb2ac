"""Version 2 of the header: samples that are decoded and left out, as a part of another file has them."""

import dataclasses
import io
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstream.bitstream import Header, Packet, Reader, Writer
from soundstream.errors import BitstreamError, ConfigError, InvalidField, UnsupportedVersion

HEADER = Header(b"modelid!", 48_000, 2, 24_000, 320, 10, 8, lead_in=300, tags={"title": "Été"})
BYTES = bytes.fromhex(
    "894e4143 02 3d00 0100 6d6f64656c696421 80bb0000 c05d0000 4001 02 0a 08 00 ffffffffffffffff 2c010000 01"
    "05 7469746c65 0500 c38974c3a9 5cfe891c"
)


def patched(offset, new, data=BYTES):
    """The header with other bytes at `offset`, its length and its checksum right."""
    body = bytearray(data[:-4])
    body[offset : offset + len(new)] = new
    body[5:7] = (len(body) + 4).to_bytes(2, "little")
    return bytes(body) + zlib.crc32(body).to_bytes(4, "little")


def read(data):
    return Header.read(io.BytesIO(data))


def test_exact_bytes_and_those_of_the_format():
    assert HEADER.to_bytes() == BYTES and read(BYTES) == HEADER
    text = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
    assert bytes.fromhex(text.split("## Example")[1].split("```")[3]) == BYTES


@given(st.integers(1, 2**32 - 1))
def test_any_lead_in_comes_back(lead_in):
    header = dataclasses.replace(HEADER, lead_in=lead_in)
    assert read(header.to_bytes()) == header


@pytest.mark.parametrize("lead_in", [-1, 2**32, 0.5])
def test_others_are_refused(lead_in):
    with pytest.raises(ConfigError, match="lead_in"):
        dataclasses.replace(HEADER, lead_in=lead_in)


def test_a_file_without_one_is_of_version_1():
    assert dataclasses.replace(HEADER, lead_in=0).to_bytes()[4:9] == b"\x01\x39\0\0\0"


def test_frames_cover_the_lead_in_too():
    stream = io.BytesIO()
    writer = Writer(stream, HEADER)
    writer.write(Packet(0, 1, 2, b""))
    with pytest.raises(ConfigError, match="hold fewer"):
        writer.finish(2 * 640 - 299)
    writer.finish(2 * 640 - 300)
    reader = Reader(io.BytesIO(stream.getvalue()))
    assert len(list(reader)) == 1 and reader.num_samples == 980
    data = stream.getvalue().replace(BYTES, dataclasses.replace(HEADER, lead_in=301).to_bytes())
    with pytest.raises(InvalidField, match="hold fewer"):
        list(Reader(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("offset", "new", "error"),
    [
        (4, b"\x01", InvalidField),
        (7, b"\0\0", InvalidField),
        (7, b"\x21\0", UnsupportedVersion),
        (7, b"\0\x80", UnsupportedVersion),
        (39, bytes(4), InvalidField),
    ],
    ids=["version 1", "no flag", "a flag more", "another flag", "no lead-in"],
)
def test_what_does_not_agree_is_refused(offset, new, error):
    with pytest.raises(error):
        read(patched(offset, new))


@pytest.mark.parametrize("length", range(39, 47))
def test_a_header_that_ends_in_its_lead_in_is_refused(length):
    with pytest.raises(BitstreamError):
        read(patched(0, b"", BYTES[:length] + bytes(4)))


@pytest.mark.parametrize("bit", range(8 * len(BYTES)))
def test_every_flipped_bit_is_noticed(bit):
    data = bytearray(BYTES)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BitstreamError):
        read(bytes(data) + bytes(600))
