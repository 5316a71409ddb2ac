"""Bytes to packets and back: the `.nac` container of docs/format.md. Nothing here knows what a code means."""

from soundstream.bitstream.container import Reader, Writer
from soundstream.bitstream.header import Header
from soundstream.bitstream.packet import Packet

__all__ = ["Header", "Packet", "Reader", "Writer"]
