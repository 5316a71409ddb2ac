"""Bytes of RTP packets and of the RTCP reports beside them; docs/rtp.md is normative.

    0                   1                   2                   3
    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    |V=2|P|X|  CC   |M|     PT      |           sequence            |
    |                           timestamp                           |
    |                             SSRC                              |     then CSRCs, extension, payload, padding

Source: RFC 3550 (RTP, RTCP), RFC 5761 (both on one port), RFC 7022 (canonical names), RFC 8285 (header extensions).
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from soundstream.bitstream.fields import check_range
from soundstream.errors import InvalidField, Truncated

PAYLOAD_TYPE = 96
"""Ours unless both sides agree on another dynamic one, 96 to 127."""
MAX_PAYLOAD = 9000
"""Bytes of the longest payload that is taken."""

_HEAD = struct.Struct(">BBHII")
_SENDER_REPORT, _RECEIVER_REPORT, _DESCRIPTION, _GOODBYE = 200, 201, 202, 203
_CONTROL_TYPES = range(192, 224)  # second bytes that mean RTCP where both share a port
_EXTENDED = 0x10
_ONE_BYTE_HEADS, _FORM_ID, _MODEL_ID_BYTES = 0xBEDE, 1, 8
_FORMS_FIRST, _FORM_EVERY = 10, 75
_UNIX_TO_NTP_S = 2_208_988_800


@dataclass(frozen=True)
class Form:
    """What both sides of a stream must have alike; it goes in a header extension, element 1 of one byte's head."""

    model_id: bytes
    """8 bytes."""
    channels: int

    def to_bytes(self) -> bytes:
        """The extension: profile, length in words, and the element, filled up with zeros."""
        element = bytes([_FORM_ID << 4 | len(self.model_id), self.channels]) + self.model_id
        element += bytes(-len(element) % 4)
        return struct.pack(">HH", _ONE_BYTE_HEADS, len(element) // 4) + element

    @classmethod
    def find(cls, extension: bytes) -> Form | None:
        """The form in an extension; None if there is none, or the extension is another one."""
        if extension[:2] != _ONE_BYTE_HEADS.to_bytes(2, "big"):
            return None
        start = 4
        while start < len(extension):
            number, size = extension[start] >> 4, (extension[start] & 15) + 1
            data = extension[start + 1 : start + 1 + size]
            if number == _FORM_ID and len(data) == size == 1 + _MODEL_ID_BYTES:
                return cls(data[1:], data[0])
            start += 1 + size if number else 1  # a zero fills up
        return None


@dataclass(frozen=True)
class RtpPacket:
    """One datagram of a stream.

    Raises:
        ConfigError: a value is out of range.
    """

    sequence: int
    """Number of the packet, modulo 2^16."""
    timestamp: int
    """First sample in ticks of the stream's clock, modulo 2^32."""
    ssrc: int
    """Names the stream, 32 bits, chosen at random."""
    payload: bytes
    marker: bool = False
    """The first packet of a stream, or after a pause in it."""
    payload_type: int = PAYLOAD_TYPE
    """0 to 127."""
    form: Form | None = None
    """What the payload is made of, if the packet says so."""

    def __post_init__(self) -> None:
        check_range("sequence", self.sequence, 0, 2**16 - 1)
        check_range("timestamp", self.timestamp, 0, 2**32 - 1)
        check_range("ssrc", self.ssrc, 0, 2**32 - 1)
        check_range("payload_type", self.payload_type, 0, 127)

    def to_bytes(self) -> bytes:
        """The datagram: 12 bytes, 16 more with a form, and the payload."""
        first, second = 2 << 6 | (_EXTENDED if self.form else 0), self.marker << 7 | self.payload_type
        head = _HEAD.pack(first, second, self.sequence, self.timestamp, self.ssrc)
        return head + (self.form.to_bytes() if self.form else b"") + self.payload

    @classmethod
    def from_bytes(cls, data: bytes) -> RtpPacket:
        """Read a datagram; contributing sources, what else is in a header extension, and padding are passed over.

        Raises:
            Truncated: it ends before a part that it announces.
            InvalidField: the version is not 2, padding is impossible, or the payload too long.
        """
        if len(data) < _HEAD.size:
            raise Truncated(f"an RTP packet of {len(data)} bytes; expected at least {_HEAD.size}")
        first, second, sequence, timestamp, ssrc = _HEAD.unpack_from(data)
        _check_version(first)
        start = _payload_start(data, first)
        payload = data[start : _payload_end(data, first)]
        if len(payload) > MAX_PAYLOAD:
            raise InvalidField(f"an RTP payload of {len(payload)} bytes; expected at most {MAX_PAYLOAD}")
        form = Form.find(data[_HEAD.size + 4 * (first & 15) : start]) if first & _EXTENDED else None
        return cls(sequence, timestamp, ssrc, payload, bool(second >> 7), second & 127, form)


def _check_version(first: int) -> None:
    if first >> 6 != 2:
        raise InvalidField(f"RTP version {first >> 6}; expected 2")


def _payload_start(data: bytes, first: int) -> int:
    start = _HEAD.size + 4 * (first & 15)
    if first & _EXTENDED:
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if start > len(data):
        raise Truncated(f"an RTP packet of {len(data)} bytes; its header says that it has {start} or more")
    return start


def _payload_end(data: bytes, first: int) -> int:
    padding = data[-1] if first & 0x20 else 0
    if first & 0x20 and not 1 <= padding <= len(data) - _payload_start(data, first):
        raise InvalidField(f"{padding} bytes of padding in an RTP packet of {len(data)} bytes")
    return len(data) - padding


def is_control(data: bytes) -> bool:
    """Whether a datagram of a port that carries both is RTCP."""
    return len(data) > 1 and data[1] in _CONTROL_TYPES


def goodbyes(data: bytes) -> set[int]:
    """SSRCs of the streams that end by this RTCP datagram.

    Raises:
        Truncated, InvalidField: it is not a compound packet that begins with a report.
    """
    ended: set[int] = set()
    for i, (kind, count, body) in enumerate(_control_parts(data)):
        if not i and kind not in (_SENDER_REPORT, _RECEIVER_REPORT):
            raise InvalidField(f"RTCP begins with packet type {kind}; expected a report, 200 or 201")
        if kind == _GOODBYE:
            if len(body) < 4 * count:
                raise Truncated(f"RTCP BYE of {count} sources in {len(body)} bytes")
            ended.update(struct.unpack_from(f">{count}I", body))
    return ended


def _control_parts(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, count and body of each packet in an RTCP datagram."""
    while data:
        if len(data) < 4:
            raise Truncated(f"an RTCP packet of {len(data)} bytes; expected at least 4")
        first, kind, words = struct.unpack_from(">BBH", data)
        _check_version(first)
        end = 4 + 4 * words
        if end > len(data):
            raise Truncated(f"an RTCP packet of {end} bytes in {len(data)}")
        yield kind, first & 31, data[4:end]
        data = data[end:]


def _random_32() -> int:
    return secrets.randbits(32)


@dataclass
class Packetizer:
    """Numbers the payloads of one stream and counts them for its reports; starts at random places, as RTP asks."""

    step: int
    """Ticks of the clock from one packet to the next."""
    payload_type: int = PAYLOAD_TYPE
    form: Form | None = None
    """What the payloads are made of; the first ten packets say so, and every 75th."""
    ssrc: int = field(default_factory=_random_32)
    sequence: int = field(default_factory=lambda: secrets.randbits(16))
    """Of the next packet."""
    timestamp: int = field(default_factory=_random_32)
    """Of the next packet."""
    name: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    """Canonical name, which tells nothing of the sender."""
    packets: int = 0
    payload_bytes: int = 0

    def __post_init__(self) -> None:
        check_range("payload_type", self.payload_type, 96, 127)

    def pack(self, payload: bytes) -> bytes:
        """The datagram of the next payload; the first one is marked."""
        form = self.form if self.packets < _FORMS_FIRST or self.packets % _FORM_EVERY == 0 else None
        packet = RtpPacket(
            self.sequence, self.timestamp, self.ssrc, payload, not self.packets, self.payload_type, form
        ).to_bytes()
        self.sequence = (self.sequence + 1) % 2**16
        self.timestamp = (self.timestamp + self.step) % 2**32
        self.packets += 1
        self.payload_bytes += len(payload)
        return packet

    def report(self, unix_s: float) -> bytes:
        """RTCP datagram for now and then: what was sent so far (SR) and the canonical name (SDES).

        Args:
            unix_s: the time of the next packet, in seconds since 1970.
        """
        ntp = round((unix_s + _UNIX_TO_NTP_S) * 2**32) % 2**64
        counts = self.packets % 2**32, self.payload_bytes % 2**32
        sent = struct.pack(">IQIII", self.ssrc, ntp, self.timestamp, *counts)
        item = bytes([1, len(self.name)]) + self.name.encode()
        item += bytes(4 - len(item) % 4)
        described = self.ssrc.to_bytes(4, "big") + item
        return _control(_SENDER_REPORT, 0, sent) + _control(_DESCRIPTION, 1, described)

    def goodbye(self, unix_s: float) -> bytes:
        """RTCP datagram for the end: a report and BYE."""
        return self.report(unix_s) + _control(_GOODBYE, 1, self.ssrc.to_bytes(4, "big"))


def _control(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 2 << 6 | count, kind, len(body) // 4) + body
