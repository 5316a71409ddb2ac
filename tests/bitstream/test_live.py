import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstream.bitstream import LivePacket
from soundstream.errors import ConfigError, Truncated


@given(st.integers(0, 127), st.integers(1, 128), st.integers(1, 4), st.binary(max_size=50))
def test_a_live_packet_comes_back_and_costs_two_bytes(sequence, num_quantizers, frames, payload):
    packet = LivePacket(sequence, num_quantizers, frames, payload)
    assert LivePacket.from_bytes(packet.to_bytes()) == packet
    assert len(packet.to_bytes()) == len(payload) + 2


def test_exact_bytes():
    assert LivePacket(5, 8, 4, b"ab").to_bytes() == (5 | 7 << 7 | 3 << 14).to_bytes(2, "little") + b"ab"


@pytest.mark.parametrize("data", [b"", b"\0"])
def test_less_than_two_bytes_are_truncated(data):
    with pytest.raises(Truncated):
        LivePacket.from_bytes(data)


@pytest.mark.parametrize("fields", [(128, 1, 1), (0, 129, 1), (0, 0, 1), (0, 1, 5), (0, 1, 0)])
def test_values_have_limits(fields):
    with pytest.raises(ConfigError):
        LivePacket(*fields, b"")
