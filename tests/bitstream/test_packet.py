import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstream.bitstream import Packet
from soundstream.bitstream.packet import OVERHEAD
from soundstream.errors import BitstreamError, ChecksumMismatch, ConfigError, InvalidField, Truncated

PACKET = Packet(sequence=258, num_quantizers=8, frames=150, payload=b"abc")


@given(
    st.builds(
        Packet,
        sequence=st.integers(0, 65_535),
        num_quantizers=st.integers(1, 128),
        frames=st.integers(1, 255),
        payload=st.binary(max_size=2000),
    )
)
def test_a_packet_comes_back(packet):
    data = packet.to_bytes()
    assert Packet.from_bytes(data) == packet
    assert len(data) == len(packet.payload) + OVERHEAD


def test_overhead_is_twelve_bytes():
    assert OVERHEAD == 12


def test_exact_bytes():
    body = bytes.fromhex("a550 0201 96 08 0300") + b"abc"
    assert PACKET.to_bytes() == body + zlib.crc32(body).to_bytes(4, "little")


@pytest.mark.parametrize("length", range(len(PACKET.to_bytes())))
def test_a_shortened_packet_is_truncated(length):
    with pytest.raises(Truncated):
        Packet.from_bytes(PACKET.to_bytes()[:length])


def test_bytes_after_a_packet_are_refused():
    with pytest.raises(InvalidField, match="16 bytes; expected 15"):
        Packet.from_bytes(PACKET.to_bytes() + b"\0")


@pytest.mark.parametrize("bit", range(8 * len(PACKET.to_bytes())))
def test_every_flipped_bit_is_noticed(bit):
    data = bytearray(PACKET.to_bytes())
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BitstreamError):
        Packet.from_bytes(bytes(data))


def test_a_changed_payload_fails_its_checksum():
    with pytest.raises(ChecksumMismatch):
        Packet.from_bytes(PACKET.to_bytes().replace(b"abc", b"abd"))


def test_no_frames_with_a_right_checksum_are_refused():
    body = bytes.fromhex("a550 0000 00 08 0000")
    with pytest.raises(InvalidField, match="frames is 0"):
        Packet.from_bytes(body + zlib.crc32(body).to_bytes(4, "little"))


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": -1},
        {"sequence": 65_536},
        {"num_quantizers": 0},
        {"num_quantizers": 129},
        {"frames": 0},
        {"frames": 256},
        {"payload": bytes(65_536)},
    ],
    ids=str,
)
def test_values_have_limits(change):
    fields = {"sequence": 0, "num_quantizers": 1, "frames": 1, "payload": b""} | change
    with pytest.raises(ConfigError):
        Packet(**fields)
