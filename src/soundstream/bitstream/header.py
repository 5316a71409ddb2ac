"""The header of a `.nac` file: what a decoder must know before the first packet."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from soundstream.bitstream.fields import CRC, MAX_PAYLOAD, check_range, read_from_file, with_crc, without_crc
from soundstream.errors import BadMagic, ConfigError, InvalidField, Truncated, UnsupportedVersion

MAGIC = b"\x89NAC"
VERSIONS = (1, 2)
"""The second has fields that not every file needs; without them a file is of the first."""
UNKNOWN_SAMPLES = (1 << 64) - 1
MAX_SAMPLES = (1 << 63) - 1
_START = struct.Struct("<4sBH")
_FIELDS = struct.Struct("<H8sIIHBBBBQ")
_LEAD_IN = struct.Struct("<I")
_HAS_LEAD_IN, _HAS_STACK, _HAS_JOINT, _HAS_SIDE, _HAS_COUNTS = 1, 2, 4, 8, 16
"""Bits of the flags."""
_KNOWN_FLAGS = _HAS_LEAD_IN | _HAS_STACK | _HAS_JOINT | _HAS_SIDE | _HAS_COUNTS
_SIDE_NUMBER_BYTES = 4
Stack = tuple[tuple[int, int], ...]
"""Bits of a plain code and frames that it covers, by codebook."""
_MIN_LENGTH = _START.size + _FIELDS.size + 1 + CRC.size
_MAX_LENGTH = 0xFFFF


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the first packet.

    Raises:
        ConfigError: a value is out of range, or the tags do not fit.
    """

    model_id: bytes
    """First eight bytes of the hash over the model that made the codes."""
    sample_rate: int
    """Hz of the original, 8,000 to 192,000; the decoder restores it."""
    channels: int
    """Channels of the original, 1 to 8."""
    codec_sample_rate: int
    """Hz at which the networks run, 8,000 to 192,000."""
    hop_length: int
    """Samples per frame at codec_sample_rate, 1 to 65,535."""
    codebook_bits: int
    """Bits of one plain code, 1 to 16."""
    num_quantizers: int
    """Most codebooks that a packet uses, 1 to 128."""
    entropy_mode: int = 0
    """How payloads are coded: 0 plain codes, 1 fixed frequencies, 2 the context model; see docs/format.md."""
    num_samples: int | None = None
    """Samples of the original per channel, at sample_rate; None while unknown, as with a pipe."""
    lead_in: int = 0
    """Samples per channel before those, at sample_rate: decoded, since frames are whole, and left out."""
    stack: Stack = ()
    """Bits of a plain code and frames that a code covers, for each of num_quantizers codebooks; none where all have
    codebook_bits and a code in every frame."""
    joint_channels: int = 1
    """Channels that are coded together as one stream, 1 to 8; the last one fills the last stream up."""
    side_numbers: int = 0
    """Numbers that each stream has in a packet beside its codes, 0 to 64; the packet is then a segment."""
    frame_counts: bool = False
    """Whether frames of a packet may use fewer codebooks than others."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Free text by name; at most 255 tags, names of 1 to 255 bytes, values of at most 65,535."""

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            check_range(name, getattr(self, name), low, high)
        self._check_stack()
        if len(self.model_id) != 8:
            raise ConfigError(f"model_id has {len(self.model_id)} bytes; expected 8")
        if self.num_samples is not None:
            check_range("num_samples", self.num_samples, 0, MAX_SAMPLES)
        object.__setattr__(self, "tags", _by_name(self.tags))
        check_range("number of tags", len(self.tags), 0, 255)
        check_range("header length", self._length, _MIN_LENGTH, _MAX_LENGTH)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.codec_sample_rate / self.hop_length

    def _check_stack(self) -> None:
        if not self.stack:
            return
        if self.frame_counts and self.granule > 1:
            raise ConfigError("frame_counts is true; expected false where a code covers several frames")
        if len(self.stack) != self.num_quantizers or set(self.stack) == {(self.codebook_bits, 1)}:
            raise ConfigError(
                f"the stack is of {len(self.stack)} codebooks; expected {self.num_quantizers}, not all alike"
            )
        for bits, stride in self.stack:
            check_range("bits of a code", bits, 1, self.codebook_bits)
            check_range("stride", stride, 1, 64)
        if max(bits for bits, _ in self.stack) != self.codebook_bits:
            raise ConfigError(f"codebook_bits is {self.codebook_bits}; expected the most of the stack")

    @property
    def streams(self) -> int:
        """Signals that are coded, each with codes of its own: the channels, or groups of them."""
        return -(-self.channels // self.joint_channels)

    @property
    def side_bytes(self) -> int:
        """Bytes of the side numbers of a packet."""
        return self.streams * self.side_numbers * _SIDE_NUMBER_BYTES

    @property
    def granule(self) -> int:
        """Frames that codes cover together: a packet has a multiple of them."""
        return math.lcm(*(stride for _, stride in self.stack))

    def frame_bits(self, num_quantizers: int) -> float:
        """Plain bits of one stream in a frame, on average."""
        stack = self.stack[:num_quantizers] or ((self.codebook_bits, 1),) * num_quantizers
        return sum(bits / stride for bits, stride in stack)

    @property
    def bitrate(self) -> int:
        """Nominal bit/s of one stream at num_quantizers plain codes a frame."""
        return round(self.frame_rate * self.frame_bits(self.num_quantizers))

    def payload_limit(self, frames: int, num_quantizers: int) -> int:
        """Most bytes that a payload may have: twice the plain codes, and 16, and side numbers and counts."""
        plain_bits = frames * self.streams * num_quantizers * self.codebook_bits
        counts = 18 + 3 * frames * self.streams if self.frame_counts else 0
        return min(2 * -(-plain_bits // 8) + 16 + self.side_bytes + counts, MAX_PAYLOAD)

    @property
    def version(self) -> int:
        """Of the format: the lowest that has every field."""
        return 2 if self._flags else 1

    @property
    def _flags(self) -> int:
        fields = self.lead_in, self.stack, self.joint_channels > 1, self.side_numbers, self.frame_counts
        return sum(1 << bit for bit, field in enumerate(fields) if field)

    @property
    def _length(self) -> int:
        return _MIN_LENGTH + len(_tags_to_bytes(self.tags)) + len(self._more())

    def to_bytes(self) -> bytes:
        """The header as it stands in a file, checksum included."""
        start = _START.pack(MAGIC, self.version, self._length)
        return with_crc(start + self._fields() + self._more() + bytes([len(self.tags)]) + _tags_to_bytes(self.tags))

    def _more(self) -> bytes:
        """Fields of flags, in their order."""
        lead_in = _LEAD_IN.pack(self.lead_in) if self.lead_in else b""
        stack = bytes(number for book in self.stack for number in book)
        joint = bytes([self.joint_channels]) if self.joint_channels > 1 else b""
        return lead_in + stack + joint + (bytes([self.side_numbers]) if self.side_numbers else b"")

    def _fields(self) -> bytes:
        return _FIELDS.pack(
            self._flags,
            self.model_id,
            self.sample_rate,
            self.codec_sample_rate,
            self.hop_length,
            self.channels,
            self.codebook_bits,
            self.num_quantizers,
            self.entropy_mode,
            UNKNOWN_SAMPLES if self.num_samples is None else self.num_samples,
        )

    @classmethod
    def read(cls, stream: BinaryIO) -> Header:
        """Read the header at the start of a file, and nothing after it.

        Raises:
            BadMagic: the first bytes are not those of a .nac file.
            UnsupportedVersion: the format is another version.
            Truncated: the file ends inside its header.
            ChecksumMismatch: a byte was changed.
            InvalidField: a field holds a value that the format forbids.
        """
        start = read_fully(stream, _START.size)
        length = _header_length(start)
        data = start + read_fully(stream, length - _START.size)
        if len(data) < length:
            raise Truncated(f"the file ends in its header, after {len(data)} of {length} bytes; get a whole copy")
        return cls._from_body(without_crc(data, "the header")[_START.size :], start[len(MAGIC)])

    @classmethod
    def _from_body(cls, body: bytes, version: int) -> Header:
        flags, model_id, sample_rate, codec_sample_rate, hop_length, *rest = _FIELDS.unpack_from(body)
        channels, codebook_bits, num_quantizers, entropy_mode, samples = rest
        _check_flags(flags, version)
        lead_in, more = _take_lead_in(body[_FIELDS.size :], flags)
        stack, more = _take_stack(more, flags, num_quantizers)
        joint_channels, more = _take_number(more, flags & _HAS_JOINT, 1, "channels coded together")
        side_numbers, more = _take_number(more, flags & _HAS_SIDE, 0, "side numbers")
        tags = _tags_from_bytes(more[1:], more[0])
        with read_from_file():
            return cls(
                model_id=model_id,
                sample_rate=sample_rate,
                channels=channels,
                codec_sample_rate=codec_sample_rate,
                hop_length=hop_length,
                codebook_bits=codebook_bits,
                num_quantizers=num_quantizers,
                entropy_mode=entropy_mode,
                num_samples=None if samples == UNKNOWN_SAMPLES else samples,
                lead_in=lead_in,
                stack=stack,
                joint_channels=joint_channels,
                side_numbers=side_numbers,
                frame_counts=bool(flags & _HAS_COUNTS),
                tags=tags,
            )


_RANGES = (
    ("sample_rate", 8_000, 192_000),
    ("channels", 1, 8),
    ("codec_sample_rate", 8_000, 192_000),
    ("hop_length", 1, 65_535),
    ("codebook_bits", 1, 16),
    ("num_quantizers", 1, 128),
    ("entropy_mode", 0, 2),
    ("lead_in", 0, (1 << 32) - 1),
    ("joint_channels", 1, 8),
    ("side_numbers", 0, 64),
)


def read_fully(stream: BinaryIO, length: int) -> bytes:
    """Read `length` bytes, however few a pipe gives at a time; fewer only at the end of the stream."""
    parts: list[bytes] = []
    while length and (part := stream.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _header_length(start: bytes) -> int:
    if start[: len(MAGIC)] != MAGIC:
        found = start[: len(MAGIC)].hex(" ") or "nothing"
        raise BadMagic(f"not a .nac file: it starts with {found}; expected {MAGIC.hex(' ')}")
    if len(start) > len(MAGIC) and start[len(MAGIC)] not in VERSIONS:
        raise UnsupportedVersion(
            f"the file has format version {start[len(MAGIC)]}; this release reads {VERSIONS[0]} and {VERSIONS[-1]}"
        )
    if len(start) < _START.size:
        raise Truncated(f"the file ends in its header, after {len(start)} bytes; get a whole copy")
    length = int(_START.unpack(start)[2])
    if length < _MIN_LENGTH:
        raise InvalidField(f"the header length is {length}; expected at least {_MIN_LENGTH}")
    return length


def _check_flags(flags: int, version: int) -> None:
    if version > 1 and flags & ~_KNOWN_FLAGS:
        raise UnsupportedVersion(f"the header's flags are {flags:#06x}; this release knows {_KNOWN_FLAGS:#06x} only")
    if bool(flags) != (version > 1):
        raise InvalidField(f"the header's flags are {flags:#06x}; version 1 has none, and version 2 at least one")


def _take_lead_in(data: bytes, flags: int) -> tuple[int, bytes]:
    """The lead-in, and what follows it: at least the number of tags."""
    if not flags & _HAS_LEAD_IN:
        return 0, data
    if len(data) <= _LEAD_IN.size:
        raise InvalidField("the header ends before its number of tags")
    lead_in = int(_LEAD_IN.unpack_from(data)[0])
    if not lead_in:
        raise InvalidField("the header has a lead-in of no samples; a file without one says nothing of it")
    return lead_in, data[_LEAD_IN.size :]


def _take_stack(data: bytes, flags: int, num_quantizers: int) -> tuple[Stack, bytes]:
    """The stack, and what follows it: at least the number of tags."""
    if not flags & _HAS_STACK:
        return (), data
    size = 2 * num_quantizers
    if len(data) <= size:
        raise InvalidField("the header ends before its number of tags")
    return tuple(zip(data[:size:2], data[1:size:2], strict=True)), data[size:]


def _take_number(data: bytes, flag: int, without: int, what: str) -> tuple[int, bytes]:
    """A field of one byte, or what holds without it, and what follows: at least the number of tags."""
    if not flag:
        return without, data
    if len(data) < 2:
        raise InvalidField("the header ends before its number of tags")
    if data[0] <= without:
        raise InvalidField(f"the header counts {data[0]} {what}; a file with no more says nothing of it")
    return data[0], data[1:]


def _by_name(tags: Mapping[str, str]) -> dict[str, str]:
    try:
        return dict(tags)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"tags are {tags!r}; expected a dictionary, such as {{'title': 'Talk'}}") from error


def _tags_to_bytes(tags: Mapping[str, str]) -> bytes:
    return b"".join(_text(name, 1, 255) + _text(value, 0, 0xFFFF) for name, value in tags.items())


def _text(text: str, shortest: int, longest: int) -> bytes:
    if not isinstance(text, str):
        raise ConfigError(f"a tag holds {text!r}; expected text, such as {str(text)!r}")
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"the tag text {text!r} is not valid Unicode") from error
    check_range(f"byte length of the tag text {text[:20]!r}", len(data), shortest, longest)
    return len(data).to_bytes(1 if longest == 255 else 2, "little") + data


def _tags_from_bytes(data: bytes, count: int) -> dict[str, str]:
    tags: dict[str, str] = {}
    for _ in range(count):
        name, data = _take_text(data, 1)
        value, data = _take_text(data, 2)
        if not name or name in tags:
            raise InvalidField(f"the tag name {name!r} is empty or stands twice in the header")
        tags[name] = value
    if data:
        raise InvalidField(f"{len(data)} bytes follow the last tag; expected the header's checksum")
    return tags


def _take_text(data: bytes, width: int) -> tuple[str, bytes]:
    end = width + int.from_bytes(data[:width], "little")
    if end > len(data):
        raise InvalidField("a tag is longer than the header")
    try:
        return data[width:end].decode(), data[end:]
    except UnicodeDecodeError as error:
        raise InvalidField("a tag is not valid UTF-8") from error
