"""Symbols with integer frequencies to bytes and back: an asymmetric numeral system (rANS) in Python's own integers.

The coder is one whole number, the state. Coding a symbol puts it onto the state like a card onto a stack: the encoder
goes through the symbols from the last to the first, the decoder takes them off from the first to the last. While the
state would grow too large its lowest byte moves out. A payload is the final state, high byte first, then those bytes,
latest first.

Source: Duda, "Asymmetric numeral systems", arXiv 1311.2540, the range variant. Ours starts from a check number instead
of a constant: a decoder that took off every symbol must find it, so what other coders waste tells right from wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from soundstream.errors import CodesMismatch

TOTAL_BITS = 18
TOTAL = 1 << TOTAL_BITS
"""Sum of the frequencies of all symbols, at every place."""
_LOW_BITS = 24
_LOW = 1 << _LOW_BITS
_STATE_BYTES = 4
_ROOM_BITS = _LOW_BITS - TOTAL_BITS + 8
"""A state may take a symbol while it is below the symbol's frequency times two to this."""


def encode(starts: Sequence[int], frequencies: Sequence[int], check: int) -> bytes:
    """Payload of symbols, given what lies below each of them.

    Args:
        starts: sum of the frequencies of all smaller symbols, for each symbol.
        frequencies: of the symbols themselves, at least 1.
        check: a number below 2^16 that `Decoder.finish` must find.
    """
    state, moved = check, bytearray()
    for start, frequency in zip(reversed(starts), reversed(frequencies), strict=True):
        while state >= frequency << _ROOM_BITS:
            moved.append(state & 0xFF)
            state >>= 8
        state = (state // frequency << TOTAL_BITS) + state % frequency + start
    return state.to_bytes(-(-state.bit_length() // 8), "big") + bytes(reversed(moved))


class Decoder:
    """Takes the symbols of a payload off, one after the other.

    `slot` says where between 0 and TOTAL the next symbol lies; the caller finds the symbol there and calls `take`.
    """

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._next = _STATE_BYTES
        self._state = int.from_bytes(payload[:_STATE_BYTES], "big")

    @property
    def slot(self) -> int:
        """A number from the symbol's start up to, not including, its start plus its frequency."""
        return self._state & (TOTAL - 1)

    def take(self, start: int, frequency: int) -> None:
        """Remove the symbol that lies at `slot`."""
        state = frequency * (self._state >> TOTAL_BITS) + self.slot - start
        while state < _LOW and self._next < len(self._payload):
            state = state << 8 | self._payload[self._next]
            self._next += 1
        self._state = state

    def finish(self, check: int) -> None:
        """End after the last symbol.

        Raises:
            CodesMismatch: the check number is another, or bytes are left.
        """
        if self._state != check or self._next < len(self._payload):
            raise CodesMismatch(
                "the codes of a packet do not match their checksum, though its bytes do: "
                "it was made with other tables or by a faulty encoder; decode with the release and model that made it"
            )
