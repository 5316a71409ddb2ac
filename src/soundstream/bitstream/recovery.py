"""Reading a damaged file: what is whole comes out, and what is missing between is named and counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from soundstream.bitstream.container import END, END_MARKER, ReadProgress, check_packet, read_end
from soundstream.bitstream.fields import CRC
from soundstream.bitstream.packet import HEAD, MARKER, OVERHEAD, SEQUENCES, Loss, Packet
from soundstream.errors import BitstreamError, ConfigError, InvalidField, Truncated

MISSING_AT_ONCE = 8
"""Packets that are believed to be missing where no bytes are: more are only believed where as many could have stood."""
_BLOCK = 1 << 16
_MARKERS = re.compile(re.escape(MARKER) + b"|" + re.escape(END_MARKER))


class RepairingReader(ReadProgress):
    """Reads a file whose packets may be damaged, missing, doubled or out of order; only its header must be whole.

    It gives what `Reader` gives, with a `Loss` wherever packets are missing, and finds the next packet after damage.

    Raises:
        BitstreamError: the header cannot be read.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._buffer = bytearray()
        self._at_end = False
        self._skipped = 0

    def __iter__(self) -> Iterator[Packet | Loss]:
        """Yield packets in order, and the losses between them; nothing in a file makes this fail."""
        frames = 0
        while not self.complete and self._fill(len(MARKER)):
            packet = self._take()
            if isinstance(packet, Packet):
                yield from self._lost((packet.sequence - self.packets) % SEQUENCES, frames or packet.frames)
                frames = packet.frames
                self.packets += 1
                self.frames += frames
            if packet:
                yield packet
        yield from self._rest(max(1, frames))

    def _take(self) -> Packet | Loss | None:
        """The packet at the front of what is read; without one there, go on to the next place where one could be."""
        try:
            if self._buffer.startswith(END_MARKER):
                self._take_end()
                return None
            packet = self._parse()
        except BitstreamError:
            self._skip()
            return None
        self._drop(len(packet.payload) + OVERHEAD)
        behind = (packet.sequence - self.packets) % SEQUENCES >= SEQUENCES // 2
        return Loss(0, 0, f"packet {packet.sequence} stands twice or out of order") if behind else packet

    def _parse(self) -> Packet:
        if not self._buffer.startswith(MARKER) or not self._fill(OVERHEAD):
            raise InvalidField("no packet starts here")
        _, _, frames, num_quantizers, length = HEAD.unpack_from(self._buffer)
        if length > self.header.payload_limit(frames, num_quantizers) or not self._fill(OVERHEAD + length):
            raise InvalidField("no packet can be so long")
        packet = Packet.from_bytes(bytes(self._buffer[: OVERHEAD + length]))
        try:
            check_packet(self.header, packet.sequence, packet)
        except ConfigError as error:
            raise InvalidField(str(error)) from error
        return packet

    def _take_end(self) -> None:
        if not self._fill(END.size + CRC.size):
            raise Truncated("the end record is cut")
        num_samples, frames = read_end(bytes(self._buffer[: END.size + CRC.size]))
        self._drop(END.size + CRC.size)
        self._total = frames
        self.num_samples, self.complete = num_samples, True

    def _lost(self, packets: int, frames: int) -> Iterator[Loss]:
        """The loss of so many packets of so many frames each, as far as it is to be believed."""
        believed = min(packets, MISSING_AT_ONCE + self._skipped // OVERHEAD)
        if self._skipped and not packets:
            yield self._stray()
        self._skipped = 0
        self.packets += packets
        self.frames += believed * frames
        if believed:
            yield Loss(packets, believed * frames, "missing" if packets > 1 else "damaged or missing")

    def _rest(self, frames: int) -> Iterator[Loss]:
        """What the end record counts beyond the packets, or what stands where the end record should."""
        if self.complete:
            missing = min(self._total - self.frames, 255 * (MISSING_AT_ONCE + self._skipped // OVERHEAD))
            if missing > 0:
                self.frames += missing
                yield Loss(-(-missing // frames), missing, "missing at the end")
            elif self._skipped:
                yield self._stray()
            if self._fill(1):
                yield Loss(0, 0, "bytes follow the end record")
        else:
            yield Loss(0, 0, "the file ends before its end record")

    def _stray(self) -> Loss:
        return Loss(0, 0, f"{self._skipped} bytes belong to no packet")

    def _skip(self) -> None:
        """Drop bytes up to the next that could start a packet or the end record."""
        ahead = _MARKERS.search(self._buffer, 1)
        count = ahead.start() if ahead else max(1, len(self._buffer) - self._buffer.endswith(MARKER[:1]))
        self._skipped += count
        self._drop(count)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]

    def _fill(self, length: int) -> bool:
        """Read until `length` bytes are at hand; False if the file ends before."""
        while len(self._buffer) < length and not self._at_end:
            data = self._stream.read(_BLOCK)
            self._at_end = not data
            self.bytes += len(data)
            self._buffer += data
        return len(self._buffer) >= length
