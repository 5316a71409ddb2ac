"""What is no whole and sound `.nac` file is refused, with an error that says why."""

import dataclasses
import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nac_bytes import END_LENGTH, HEADER, HEADER_LENGTH, NUM_SAMPLES, PACKETS, TINY, read, write

from soundstream.bitstream import Packet, Reader, Writer
from soundstream.errors import (
    BadMagic,
    BitstreamError,
    ChecksumMismatch,
    ConfigError,
    InvalidField,
    Truncated,
    UnsupportedVersion,
)


def checked(body):
    return body + zlib.crc32(body).to_bytes(4, "little")


def patched_header(offset, new, header=HEADER):
    """A header with other bytes at `offset` and a checksum that is right again."""
    body = bytearray(header.to_bytes()[:-4])
    body[offset : offset + len(new)] = new
    return checked(bytes(body))


@pytest.mark.parametrize("length", range(len(TINY)))
def test_truncation_at_every_byte(length):
    with pytest.raises(BadMagic if length < 4 else Truncated):
        read(TINY[:length])


def test_truncated_says_how_much_was_read():
    stream = io.BytesIO(TINY[:-END_LENGTH])
    reader = Reader(stream)
    found = []
    with pytest.raises(Truncated, match=r"2 packets \(0\.0 s\)"):
        found.extend(reader)
    assert reader.packets == 2
    assert reader.num_samples is None


@pytest.mark.parametrize("bit", range(8 * len(TINY)))
def test_every_flipped_bit_is_noticed(bit):
    data = bytearray(TINY)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BitstreamError):
        read(bytes(data))


@pytest.mark.parametrize(
    ("offset", "error"),
    [
        (0, BadMagic),
        (4, UnsupportedVersion),
        (9, ChecksumMismatch),
        (HEADER_LENGTH, InvalidField),
        (HEADER_LENGTH + 8, ChecksumMismatch),
        (len(TINY) - 8, ChecksumMismatch),
    ],
    ids=["magic", "version", "model id", "marker", "payload", "end record"],
)
def test_a_changed_byte_gives_the_error_of_its_place(offset, error):
    data = bytearray(TINY)
    data[offset] ^= 0x10
    with pytest.raises(error):
        read(bytes(data))


@given(st.binary(max_size=300))
def test_random_bytes_after_the_magic_give_a_named_error(data):
    with pytest.raises(BitstreamError):
        read(TINY[:5] + data)


@given(st.binary(max_size=300))
def test_random_bytes_after_the_header_give_a_named_error(data):
    with pytest.raises(BitstreamError):
        read(HEADER.to_bytes() + data)


@pytest.mark.parametrize("data", [b"", b"RIFF1234WAVE", b"\x89NA"], ids=["empty", "wav", "short"])
def test_what_is_not_a_nac_file_has_bad_magic(data):
    with pytest.raises(BadMagic, match="89 4e 41 43"):
        read(data)


@pytest.mark.parametrize("version", [0, 3, 255])
def test_other_versions_are_refused(version):
    with pytest.raises(UnsupportedVersion, match=f"version {version}"):
        read(TINY[:4] + bytes([version]) + TINY[5:])


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (5, struct.pack("<H", 43)),
        (7, struct.pack("<H", 1)),
        (7, struct.pack("<H", 0x8000)),
        (17, struct.pack("<I", 7_999)),
        (17, struct.pack("<I", 192_001)),
        (21, struct.pack("<I", 0)),
        (25, struct.pack("<H", 0)),
        (27, b"\x00"),
        (27, b"\x09"),
        (28, b"\x00"),
        (28, b"\x11"),
        (29, b"\x00"),
        (29, b"\x81"),
        (30, b"\x03"),
        (31, struct.pack("<Q", 2**63)),
        (39, b"\x00"),
        (39, b"\x02"),
        (40, b"\x00"),
        (40, b"\xff"),
        (46, b"\xff\xff"),
        (48, b"\xff"),
    ],
    ids=[
        "header too short",
        "flag",
        "high flag",
        "low sample rate",
        "high sample rate",
        "no codec rate",
        "no hop",
        "no channel",
        "nine channels",
        "no codebook bits",
        "17 codebook bits",
        "no quantizers",
        "129 quantizers",
        "entropy mode",
        "too many samples",
        "bytes after the tags",
        "a tag too many",
        "empty tag name",
        "long tag name",
        "long tag value",
        "not UTF-8",
    ],
)
def test_header_fields_are_checked(offset, value):
    with pytest.raises(InvalidField):
        read(patched_header(offset, value))


def test_a_tag_may_stand_only_once():
    body = bytearray(HEADER.to_bytes()[:-4] + HEADER.to_bytes()[40:-4])
    body[5:7], body[39] = struct.pack("<H", len(body) + 4), 2
    with pytest.raises(InvalidField, match="twice"):
        read(checked(bytes(body)))


@pytest.mark.parametrize(
    "packet",
    [
        Packet(1, 8, 1, b""),
        Packet(0, 9, 1, b""),
        Packet(0, 1, 1, bytes(23)),
    ],
    ids=["sequence", "quantizers", "payload"],
)
def test_packets_that_the_header_does_not_allow(packet):
    with pytest.raises(ConfigError):
        Writer(io.BytesIO(), HEADER).write(packet)
    with pytest.raises(InvalidField):
        read(HEADER.to_bytes() + packet.to_bytes())


def test_a_long_payload_is_refused_before_it_is_read():
    head = struct.pack("<2sHBBH", b"\xa5P", 0, 1, 1, 0xFFFF)
    with pytest.raises(InvalidField, match="payload length is 65535"):
        read(HEADER.to_bytes() + head)


def test_a_missing_packet_is_noticed():
    data = HEADER.to_bytes() + PACKETS[0].to_bytes() + Packet(2, 1, 1, b"").to_bytes()
    with pytest.raises(InvalidField, match="packet 2 follows; expected packet 1"):
        read(data)


@pytest.mark.parametrize(
    ("num_samples", "frames", "message"),
    [(NUM_SAMPLES, 4, "counts 4 frames"), (1921, 3, "hold fewer"), (2**64 - 1, 3, "num_samples")],
    ids=["frames", "samples", "unknown"],
)
def test_an_end_record_that_contradicts_the_packets(num_samples, frames, message):
    end = checked(struct.pack("<2sQQ", b"\xa5E", num_samples, frames))
    with pytest.raises(InvalidField, match=message):
        read(TINY[:-END_LENGTH] + end)


def test_header_and_end_record_agree_on_the_samples():
    header = dataclasses.replace(HEADER, num_samples=1800)
    with pytest.raises(ConfigError, match="1900 at the end; the header says 1800"):
        write(header)
    with pytest.raises(InvalidField):
        read(header.to_bytes() + TINY[HEADER_LENGTH:])


def test_samples_that_the_frames_do_not_cover_are_not_written():
    with pytest.raises(ConfigError, match="hold fewer"):
        write(num_samples=1921)


def test_bytes_after_the_end_record_are_refused():
    with pytest.raises(InvalidField, match="follow the end"):
        read(TINY + b"\0")


@pytest.mark.parametrize(
    "change",
    [
        {"model_id": b"short"},
        {"sample_rate": 7_999},
        {"channels": 9},
        {"hop_length": 65_536},
        {"codebook_bits": 17},
        {"num_quantizers": 129},
        {"entropy_mode": 3},
        {"num_samples": -1},
        {"tags": {"": "x"}},
        {"tags": {"x" * 256: "x"}},
        {"tags": {"a": "x" * 65_530}},
        {"tags": {"a": "\udc80"}},
        {"tags": {str(i): "" for i in range(256)}},
    ],
    ids=lambda change: f"{next(iter(change))} {str(next(iter(change.values())))[:12]}",
)
def test_headers_have_limits(change):
    with pytest.raises(ConfigError):
        dataclasses.replace(HEADER, **change)


def test_errors_name_the_file_that_is_read(tmp_path):
    data = write()
    for name, bad, where in (("empty", b"", 0), ("cut", data[:-1], 0), ("skipped", data[:66], 9999)):
        path = tmp_path / name
        path.write_bytes(bad)
        with path.open("rb") as stream, pytest.raises(BitstreamError, match=f"{path}: "):
            reader = Reader(stream)
            reader.skip_to(where)
            list(reader)
