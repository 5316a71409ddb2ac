"""What a packet holds: the side numbers of a segment, how many codebooks each frame has, and the codes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from soundstream.arrays import Codes
from soundstream.bitstream.header import Header
from soundstream.bitstream.packet import Packet
from soundstream.entropy.coder import Coder
from soundstream.entropy.counts import decode_counts, encode_counts
from soundstream.entropy.grid import Counts
from soundstream.errors import BitstreamError, ConfigError, InvalidField
from soundstream.runtime.side import check_side, with_side, without_side

SIDE_NUMBER = np.dtype("<f4")
"""How a packet holds a side number."""
_LENGTH = struct.Struct("<H")
"""Of the coded counts, before them."""


def payload_of(part: Codes, coder: Coder, side_numbers: int, frame_counts: bool) -> bytes:
    """The payload of codes `[streams, num_quantizers, frames]` with side numbers behind them.

    Raises:
        ConfigError: frames lack codes and the file does not have counts, or codes or numbers cannot be.
    """
    codes, side = without_side(part, side_numbers)
    numbers = side[:, :, 0].astype(SIDE_NUMBER).tobytes() if side_numbers else b""
    if not frame_counts:
        if codes.size and codes.min() < 0:
            raise ConfigError(f"codes lie from {codes.min()} on; expected 0, in a file without counts of frames")
        return numbers + coder.encode(codes)
    return numbers + coded_counts((codes >= 0).sum(axis=1), codes.shape[1]) + coder.encode(codes)


def coded_counts(counts: Counts, most: int) -> bytes:
    """What a payload holds of the counts `[streams, frames]`, of 1 to `most` codebooks: a length and so many bytes."""
    coded = encode_counts(counts, most)
    return _LENGTH.pack(len(coded)) + coded


def codes_of(packets: Sequence[Packet], coder: Coder, header: Header) -> list[Codes | BitstreamError]:
    """Inverse of `payload_of` for packets of one shape; in place of what cannot be decoded, the error."""
    if header.frame_counts:
        return [_one(packet, coder, header) for packet in packets]
    size, shape = header.side_bytes, (header.streams, packets[0].num_quantizers, packets[0].frames)
    found = coder.decode_batch([packet.payload[size:] for packet in packets], shape)
    return [_numbered(*pair, header) for pair in zip(found, packets, strict=True)] if size else found


def _one(packet: Packet, coder: Coder, header: Header) -> Codes | BitstreamError:
    """Codes of a packet whose frames have counts."""
    data, shape = packet.payload[header.side_bytes :], (header.streams, packet.num_quantizers, packet.frames)
    try:
        if len(data) < _LENGTH.size or len(data) < (start := _LENGTH.size + _LENGTH.unpack_from(data)[0]):
            raise InvalidField(f"the payload has {len(data)} bytes; expected the counts of its frames")
        counts = decode_counts(data[_LENGTH.size : start], *shape)
        codes = coder.decode(data[start:], shape, counts)
    except BitstreamError as error:
        return error
    return _numbered(codes, packet, header) if header.side_numbers else codes


def _numbered(codes: Codes | BitstreamError, packet: Packet, header: Header) -> Codes | BitstreamError:
    """Codes with the side numbers of their packet behind them."""
    data = packet.payload[: header.side_bytes]
    if isinstance(codes, BitstreamError):
        return codes
    if len(data) < header.side_bytes:
        return InvalidField(f"the payload has {len(data)} bytes; expected {header.side_bytes} of side numbers")
    side = np.frombuffer(data, SIDE_NUMBER).astype(np.float32).reshape(header.streams, -1, 1)
    try:
        check_side(side)
    except ConfigError as error:
        return InvalidField(f"the file was not written by an encoder: {error}")
    return with_side(codes, np.repeat(side, codes.shape[2], axis=2))
