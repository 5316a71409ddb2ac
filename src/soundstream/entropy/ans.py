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

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.bounds import TOTAL, TOTAL_BITS
from soundstream.errors import CodesMismatch

Integers = NDArray[np.int64]

_LOW_BITS = 24
_LOW = 1 << _LOW_BITS
_STATE_BYTES = 4
_ROOM_BITS = _LOW_BITS - TOTAL_BITS + 8
"""A state may take a symbol while it is below the symbol's frequency times two to this."""
_WINDOW = np.array([1, 1 << 8, 1 << 16])
_WINDOW_BITS = 24
_STEPS = np.array([1 << 8, 1 << 16, _LOW])
_WANTED_BITS = np.array([24, 16, 8, 0])
"""Bits that bring a state back to at least _LOW, by how many of _STEPS it has reached."""
_SLOT_MASK, _SLOT_BITS, _BYTE_SHIFT = np.array(TOTAL - 1), np.array(TOTAL_BITS), np.array(3)
"""Arrays, since NumPy takes Python's numbers at twice the cost of a small step."""


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
        _check_end(self._state == check and self._next >= len(self._payload))


class Decoders:
    """What `Decoder` does, for many payloads in the same steps.

    A state that is not 0 is full again after three bytes at most. Only a payload that starts with a zero byte before
    its last four, which no encoder writes, can bring a state to 0 while bytes are left.
    """

    def __init__(self, payloads: Sequence[bytes]) -> None:
        lengths = np.array([len(payload) for payload in payloads], np.int64)
        joined = np.frombuffer(b"".join(payloads) + bytes(len(_WINDOW)), np.uint8)
        self._windows = np.convolve(joined, _WINDOW, "valid").astype(np.int64)
        """The number that three bytes make, the first one highest, from each place on."""
        self._state = np.array([int.from_bytes(payload[:_STATE_BYTES], "big") for payload in payloads], np.int64)
        self._left_bits = 8 * np.maximum(0, lengths - _STATE_BYTES)
        self._end_bits = 8 * lengths.cumsum()
        self._odd = bool(((self._state < _LOW) & (self._left_bits > 0)).any())

    def __len__(self) -> int:
        return len(self._state)

    def slots(self) -> Integers:
        """`Decoder.slot` of each payload `[payloads]`."""
        return self._state & _SLOT_MASK

    def take(self, starts: Integers, frequencies: Integers) -> None:
        """Remove the symbols that lie at `slots`, given their starts and frequencies `[payloads]`."""
        inside = self.slots()
        inside -= starts
        self._state >>= _SLOT_BITS
        self._state *= frequencies
        self._state += inside
        bits = self._refill()
        while self._odd and bits.any():
            bits = self._refill()

    def _refill(self) -> Integers:
        """Let bytes in where states are low; returns how many bits came into each."""
        bits = np.minimum(_WANTED_BITS.take(_STEPS.searchsorted(self._state, side="right")), self._left_bits)
        found = self._windows.take((self._end_bits - self._left_bits) >> _BYTE_SHIFT)
        found >>= _WINDOW_BITS - bits
        self._state <<= bits
        self._state |= found
        self._left_bits -= bits
        return bits

    def finish(self, i: int, check: int) -> None:
        """`Decoder.finish` of payload i."""
        _check_end(self._state[i] == check and not self._left_bits[i])


def _check_end(whole: bool) -> None:
    if not whole:
        raise CodesMismatch(
            "the codes of a packet do not match their checksum, though its bytes do: "
            "it was made with other tables or by a faulty encoder; decode with the release and model that made it"
        )
