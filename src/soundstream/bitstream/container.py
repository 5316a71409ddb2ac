"""A `.nac` file: header, packets, end record; written without seeking and read one packet at a time.

header | packet 0 | packet 1 | ... | A5 45 | num_samples u64 | frames u64 | CRC-32
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from soundstream.bitstream.fields import CRC, check_range, read_from_file, with_crc, without_crc
from soundstream.bitstream.header import MAX_SAMPLES, Header, read_fully
from soundstream.bitstream.packet import HEAD, MARKER, SEQUENCES, Packet
from soundstream.errors import BitstreamError, ConfigError, InvalidField, Truncated
from soundstream.system.files import name_of, reading

END_MARKER = b"\xa5E"
END = struct.Struct("<2sQQ")


class Writer:
    """Writes a file to a buffered binary stream, the header at once; it never seeks, so a pipe will do."""

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        self.header = header
        self.bytes = 0
        """Bytes written so far."""
        self._stream = stream
        self._packets = 0
        self._frames = 0
        self._put(header.to_bytes())

    def write(self, packet: Packet) -> None:
        """Append a packet.

        Raises:
            ConfigError: its sequence number is not the next, or it exceeds what the header allows.
        """
        check_packet(self.header, self._packets, packet)
        self._put(packet.to_bytes())
        self._packets += 1
        self._frames += packet.frames

    def finish(self, num_samples: int) -> None:
        """Write the end record; nothing may follow. The stream stays open.

        Args:
            num_samples: exact samples of the original per channel, at header.sample_rate.
        Raises:
            ConfigError: the header promised another number, or the frames written do not cover it.
        """
        check_end(self.header, self._frames, num_samples)
        self._put(with_crc(END.pack(END_MARKER, num_samples, self._frames)))

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self.bytes += len(data)


class ReadProgress:
    """The header of a file, and how far it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.name = name_of(stream)
        """What messages call the file; empty for bytes in memory."""
        with reading(self.name):
            self.header = Header.read(stream)
        self.num_samples = self.header.num_samples
        """Samples of the original per channel; None until known, certain once `complete`."""
        self.packets = 0
        """Packets so far, lost ones included where a reader goes on behind them."""
        self.frames = 0
        """Frames in them."""
        self.bytes = len(self.header.to_bytes())
        """Bytes read so far, the header included."""
        self.complete = False
        """Whether the end record was read."""


class Reader(ReadProgress):
    """Reads a file from a binary stream, the header at once and then packet after packet, in constant memory.

    Where the stream can seek, the number of samples is looked up in the end record if the header does not give it.

    Raises:
        BadMagic, UnsupportedVersion, Truncated, ChecksumMismatch, InvalidField: the header cannot be read.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._ahead = b""
        if self.num_samples is None and stream.seekable():
            self.num_samples = _samples_at_end(stream)

    @property
    def duration_s(self) -> float:
        """Seconds of audio in the packets read so far."""
        return self.frames / self.header.frame_rate

    def __iter__(self) -> Iterator[Packet]:
        """Yield the packets that are left.

        Raises:
            Truncated: the file ends before its end record; what came before was yielded.
            ChecksumMismatch: a byte was changed.
            InvalidField: a field has a forbidden value, a packet is missing, or bytes follow the end.
        """
        with reading(self.name):
            yield from self._packets()

    def _packets(self) -> Iterator[Packet]:
        while not self.complete:
            marker = self._read(len(MARKER))
            if marker == MARKER:
                yield self._read_packet()
            elif marker == END_MARKER:
                self._read_end()
            else:
                raise InvalidField(
                    f"the file is damaged: after {self._so_far()} comes {marker.hex(' ')}, no packet nor end"
                )

    def skip_to(self, frame: int) -> None:
        """Move on to the packet that holds this frame, or to the end, by the heads of packets alone.

        A stream that cannot seek is read, and what is passed over is dropped.

        Raises:
            Truncated, InvalidField: the file ends, or the head of a packet has a value that the format forbids.
        """
        with reading(self.name):
            while self._skip_before(frame):
                pass

    def _skip_before(self, frame: int) -> bool:
        """Pass over the next packet; False, and it stays, if it holds the frame or there is none."""
        head = self._read(HEAD.size)
        marker, _, frames, num_quantizers, length = HEAD.unpack(head)
        if marker != MARKER or self.frames + frames > frame:
            self._ahead = head
            self.bytes -= HEAD.size
            return False
        with read_from_file():
            check_range("payload length", length, 0, self.header.payload_limit(frames, num_quantizers))
            check_range("frames", frames, 1, 255)
        self._pass_over(length + CRC.size)
        self.packets += 1
        self.frames += frames
        return True

    def _read_packet(self) -> Packet:
        head = MARKER + self._read(HEAD.size - len(MARKER))
        _, _, frames, num_quantizers, payload_length = HEAD.unpack(head)
        limit = self.header.payload_limit(frames, num_quantizers)
        with read_from_file():
            check_range("payload length", payload_length, 0, limit)
        packet = Packet.from_bytes(head + self._read(payload_length + CRC.size))
        with read_from_file():
            check_packet(self.header, self.packets, packet)
        self.packets += 1
        self.frames += packet.frames
        return packet

    def _read_end(self) -> None:
        data = END_MARKER + self._read(END.size + CRC.size - len(END_MARKER))
        num_samples, frames = read_end(data)
        if frames != self.frames:
            raise InvalidField(f"the end record counts {frames} frames; the packets hold {self.frames}")
        with read_from_file():
            check_end(self.header, frames, num_samples)
        if self._stream.read(1):
            raise InvalidField("bytes follow the end record; a .nac file ends there")
        self.num_samples, self.complete = num_samples, True

    def _pass_over(self, length: int) -> None:
        if self._stream.seekable():
            self._stream.seek(length, 1)
        else:
            read_fully(self._stream, length)
        self.bytes += length

    def _read(self, length: int) -> bytes:
        ahead, self._ahead = self._ahead[:length], self._ahead[length:]
        data = ahead + read_fully(self._stream, length - len(ahead))
        self.bytes += len(data)
        if len(data) < length:
            raise Truncated(f"the file ends after {self._so_far()}, before its end record; get a whole copy")
        return data

    def _so_far(self) -> str:
        return f"{self.packets} packet{'' if self.packets == 1 else 's'} ({self.duration_s:.1f} s)"


def _samples_at_end(stream: BinaryIO) -> int | None:
    """Samples that the end record counts; None if there is none that can be believed. The stream stays in its place."""
    place = stream.tell()
    size = stream.seek(0, 2)
    stream.seek(max(place, size - END.size - CRC.size))
    data = read_fully(stream, END.size + CRC.size)
    stream.seek(place)
    try:
        return read_end(data)[0] if data.startswith(END_MARKER) and len(data) == END.size + CRC.size else None
    except BitstreamError:
        return None


def read_end(data: bytes) -> tuple[int, int]:
    """Samples and frames that an end record counts.

    Raises:
        ChecksumMismatch: a byte was changed.
        InvalidField: it counts more samples than there can be.
    """
    _, num_samples, frames = END.unpack(without_crc(data, "the end record"))
    with read_from_file():
        check_range("num_samples", num_samples, 0, MAX_SAMPLES)
    return num_samples, frames


def check_packet(header: Header, packets: int, packet: Packet) -> None:
    """Refuse a packet that is not the next after so many, or that its header does not allow.

    Raises:
        ConfigError: what is wrong.
    """
    expected = packets % SEQUENCES
    if packet.sequence != expected:
        raise ConfigError(f"packet {packet.sequence} follows; expected packet {expected}")
    check_range("num_quantizers of a packet", packet.num_quantizers, 1, header.num_quantizers)
    limit = header.payload_limit(packet.frames, packet.num_quantizers)
    check_range("payload length", len(packet.payload), 0, limit)


def check_end(header: Header, frames: int, num_samples: int) -> None:
    """Refuse samples that contradict the header or that so many frames do not cover behind the lead-in.

    Raises:
        ConfigError: what is wrong.
    """
    check_range("num_samples", num_samples, 0, MAX_SAMPLES)
    if header.num_samples not in (None, num_samples):
        raise ConfigError(f"num_samples is {num_samples} at the end; the header says {header.num_samples}")
    if (header.lead_in + num_samples) * header.codec_sample_rate > frames * header.hop_length * header.sample_rate:
        raise ConfigError(f"num_samples is {num_samples}; the file's {frames} frames hold fewer")
