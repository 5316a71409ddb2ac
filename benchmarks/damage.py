"""Damage to `.nac` files: every simple kind at every place, and any mixture of kinds at random."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import permutations

import numpy as np

from soundstream.bitstream.container import END, END_MARKER
from soundstream.bitstream.fields import CRC
from soundstream.bitstream.packet import HEAD, MARKER

_MIN_HEADER = 44


def systematic(data: bytes) -> Iterator[bytes]:
    """A valid file cut at every byte, with every bit flipped, every byte of its header and of its packets' heads at its
    limits, and its packets in every order, twice, or missing."""
    yield from (data[:length] for length in range(len(data)))
    yield from _flips(data)
    yield from _limits(data)
    yield from _arrangements(data)


def _flips(data: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(data)):
        body = bytearray(data)
        body[bit // 8] ^= 1 << bit % 8
        yield bytes(body)


def _limits(data: bytes) -> Iterator[bytes]:
    """Values at and near the limits of every byte of all fields, with right checksums."""
    header, *packets, end = _parts(data)
    places = [*range(len(header)), *range(len(data) - len(end), len(data))]
    start = len(header)
    for packet in packets:
        places += range(start, start + HEAD.size)
        start += len(packet)
    for place in places:
        for value in (0, 1, 2, 127, 128, 254, 255):
            body = bytearray(data)
            body[place] = value
            yield mended(body)


def _arrangements(data: bytes) -> Iterator[bytes]:
    header, *packets, end = _parts(data)
    for order in permutations(packets):
        yield b"".join([header, *order, end])
    for i, packet in enumerate(packets):
        yield b"".join([header, *packets[:i], *packets[i + 1 :], end])
        for place in range(len(packets) + 1):
            yield b"".join([header, *packets[:place], packet, *packets[place:], end])


def random(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three changes: flipped bits, other bytes, cuts, parts twice, swapped or removed; half mend checksums."""
    body = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        kind, at, length = rng.integers(7), int(rng.integers(len(body) + 1)), int(rng.integers(1, 40))
        if kind == 0 and at < len(body):
            body[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            body[at : at + 1] = rng.bytes(1)
        elif kind == 2:
            del body[at:]
        elif kind == 3:
            body[at:at] = body[at : at + length]
        elif kind == 4:
            del body[at : at + length]
        elif kind == 5:
            body[at:] = body[at + length :] + body[at : at + length]
        else:
            body[at : at + length] = rng.bytes(length)
    return mended(body) if rng.integers(2) else bytes(body)


def mended(body: bytearray) -> bytes:
    """With right checksums for the header, all packets that can be found, and the end record: their fields are reached.

    A packet whose length does not lead to a marker ends the search.
    """
    if len(body) < _MIN_HEADER:
        return bytes(body)
    place = int.from_bytes(body[5:7], "little")
    _seal(body, 0, place)
    while body[place : place + 2] == MARKER and place + HEAD.size <= len(body):
        length = HEAD.size + int.from_bytes(body[place + 6 : place + 8], "little") + CRC.size
        _seal(body, place, length)
        place += length
    if body[place : place + 2] == END_MARKER:
        _seal(body, place, END.size + CRC.size)
    return bytes(body)


def _seal(body: bytearray, start: int, length: int) -> None:
    """Write the checksum at the end of a part, if the part is there."""
    end = start + length - CRC.size
    if start < end <= len(body) - CRC.size:
        body[end : end + CRC.size] = zlib.crc32(body[start:end]).to_bytes(CRC.size, "little")


def _parts(data: bytes) -> list[bytes]:
    """Header, packets and end record of a valid file."""
    ends = [int.from_bytes(data[5:7], "little")]
    while data[ends[-1] : ends[-1] + 2] == MARKER:
        length = int.from_bytes(data[ends[-1] + 6 : ends[-1] + 8], "little")
        ends.append(ends[-1] + HEAD.size + length + CRC.size)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
