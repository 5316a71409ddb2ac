"""Bytes to packets and back: the `.nac` container of docs/format.md. Nothing here knows what a code means."""

from soundstream.bitstream.container import Reader, Writer
from soundstream.bitstream.header import Header
from soundstream.bitstream.live import LivePacket
from soundstream.bitstream.packet import Loss, Packet
from soundstream.bitstream.recovery import RepairingReader

__all__ = ["Header", "LivePacket", "Loss", "Packet", "Reader", "RepairingReader", "Writer"]
