"""One packet: a few frames of coded bytes that can be found, checked and ordered without the rest.

0       2          4        5                6                8           8 + n      12 + n
+-------+----------+--------+----------------+----------------+-----------+----------+
| A5 50 | sequence | frames | num_quantizers | payload length | payload   | CRC-32   |
+-------+----------+--------+----------------+----------------+-----------+----------+
  bytes    u16        u8           u8               u16          n bytes     u32, of all before it
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from soundstream.bitstream.fields import CRC, MAX_PAYLOAD, check_range, read_from_file, with_crc, without_crc
from soundstream.errors import InvalidField, Truncated

MARKER = b"\xa5P"
HEAD = struct.Struct("<2sHBBH")
OVERHEAD = HEAD.size + CRC.size
"""Bytes of a packet besides its payload."""
SEQUENCES = 1 << 16
"""Sequence numbers count up to this and start again at 0."""


@dataclass(frozen=True)
class Packet:
    """Some frames of every channel, coded.

    Raises:
        ConfigError: a value is out of range.
    """

    sequence: int
    """Place in the file modulo 65,536."""
    num_quantizers: int
    """Codebooks used in these frames, 1 to 128."""
    frames: int
    """Frames, 1 to 255."""
    payload: bytes
    """Coded bytes, 0 to 65,535 of them."""

    def __post_init__(self) -> None:
        check_range("sequence", self.sequence, 0, SEQUENCES - 1)
        check_range("num_quantizers", self.num_quantizers, 1, 128)
        check_range("frames", self.frames, 1, 255)
        check_range("payload length", len(self.payload), 0, MAX_PAYLOAD)

    def to_bytes(self) -> bytes:
        """The packet as it stands in a file."""
        head = HEAD.pack(MARKER, self.sequence, self.frames, self.num_quantizers, len(self.payload))
        return with_crc(head + self.payload)

    @classmethod
    def from_bytes(cls, data: bytes) -> Packet:
        """Inverse of `to_bytes`.

        Raises:
            Truncated: data is shorter than the packet says.
            ChecksumMismatch: a byte was changed.
            InvalidField: the marker or a value is wrong, or data is longer than the packet says.
        """
        if len(data) < OVERHEAD:
            raise Truncated(f"a packet of {len(data)} bytes; expected at least {OVERHEAD}")
        marker, sequence, frames, num_quantizers, payload_length = HEAD.unpack_from(data)
        _check_shape(marker, len(data), OVERHEAD + payload_length)
        payload = without_crc(data, "a packet")[HEAD.size :]
        with read_from_file():
            return cls(sequence, num_quantizers, frames, payload)


@dataclass(frozen=True)
class Loss:
    """Packets of a file that cannot be decoded."""

    packets: int
    frames: int
    """Their frames: exact where one packet is damaged, else as many as its neighbours have."""
    reason: str


def _check_shape(marker: bytes, length: int, expected: int) -> None:
    if marker != MARKER:
        raise InvalidField(f"a packet starts with {marker.hex()}; expected {MARKER.hex()}")
    if length < expected:
        raise Truncated(f"a packet of {length} bytes; expected {expected}")
    if length > expected:
        raise InvalidField(f"a packet of {length} bytes; expected {expected}")
