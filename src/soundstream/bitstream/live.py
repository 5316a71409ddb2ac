"""A packet for live audio: two bytes before a payload whose length and safety are the transport's task.

bit  0..6 sequence | 7..13 num_quantizers - 1 | 14..15 frames - 1      as one number of 16 bits, low byte first

The payload may hold a copy of the packet before: see `soundstream.live.payload`.
"""

from __future__ import annotations

from dataclasses import dataclass

from soundstream.bitstream.fields import check_range
from soundstream.errors import Truncated

LIVE_OVERHEAD = 2
"""Bytes of a live packet besides its payload."""
LIVE_FRAMES = 4
"""Most frames of a live packet."""
LIVE_SEQUENCES = 128
"""Sequence numbers count up to this and start again at 0."""


@dataclass(frozen=True)
class LivePacket:
    """Some frames for a datagram or message of their own; what a file's header says, both sides know from elsewhere.

    Raises:
        ConfigError: a value is out of range.
    """

    sequence: int
    """Place in the stream modulo 128."""
    num_quantizers: int
    """Codebooks used in these frames, 1 to 128."""
    frames: int
    """1 to 4."""
    payload: bytes

    def __post_init__(self) -> None:
        check_range("sequence", self.sequence, 0, LIVE_SEQUENCES - 1)
        check_range("num_quantizers", self.num_quantizers, 1, 128)
        check_range("frames", self.frames, 1, LIVE_FRAMES)

    def to_bytes(self) -> bytes:
        """The packet as it is sent."""
        head = self.sequence | (self.num_quantizers - 1) << 7 | (self.frames - 1) << 14
        return head.to_bytes(LIVE_OVERHEAD, "little") + self.payload

    @classmethod
    def from_bytes(cls, data: bytes) -> LivePacket:
        """Inverse of `to_bytes`.

        Raises:
            Truncated: data has no room for the two bytes.
        """
        if len(data) < LIVE_OVERHEAD:
            raise Truncated(f"a live packet of {len(data)} bytes; expected at least {LIVE_OVERHEAD}")
        head = int.from_bytes(data[:LIVE_OVERHEAD], "little")
        return cls(head & 127, (head >> 7 & 127) + 1, (head >> 14) + 1, data[LIVE_OVERHEAD:])
