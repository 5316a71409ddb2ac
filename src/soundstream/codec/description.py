"""What a `.nac` file says of itself, without decoding it."""

from __future__ import annotations

import io
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any, BinaryIO

from soundstream.bitstream import Header, Loss, Packet, RepairingReader
from soundstream.codec.packing import MODES
from soundstream.runtime.models import name_of_model
from soundstream.system.files import open_input


@dataclass(frozen=True)
class PacketInfo:
    """A packet, or what is lost in its place."""

    at_s: float
    frames: int
    num_quantizers: int | None = None
    """Codebooks; None where it is lost."""
    bytes: int | None = None
    """Of its payload."""
    bitrate_per_channel: int | None = None
    """Bit/s of its payload."""
    lost: str | None = None
    """Why."""


@dataclass(frozen=True)
class FileInfo:
    """What a `.nac` file holds. Every checksum in it was verified."""

    model: str
    """Id in hexadecimal."""
    model_name: str | None
    """Name of the folder that holds the model here, or of the release that had it; None if neither is known."""
    sample_rate: int
    """Hz of the original."""
    channels: int
    num_samples: int | None
    """Per channel; None if the end of the file is missing."""
    joint_channels: int
    """Channels that are coded together; 1 where each is coded by itself."""
    lead_in: int
    """Samples per channel before those, which are decoded and left out; a part of another file may have some."""
    duration_s: float
    bitrate: int | None
    """Bit/s of the whole file, all channels together; None without sound."""
    bitrate_per_channel: int | None
    """The same divided by the channels."""
    nominal_bitrate: int
    """Mean bit/s of each channel, or of those coded together, before entropy coding."""
    max_bitrate: int
    """Highest bit/s that a packet may have, likewise; more than the mean where the rate varies."""
    bytes: int
    payload_bytes: int
    codec_sample_rate: int
    """Hz."""
    hop_length: int
    codebook_bits: int
    num_quantizers: list[int]
    """Codebooks of the packets, each number once."""
    entropy_mode: str
    packets: int
    frames: int
    tags: dict[str, str]
    damage: list[str]
    """What is lost, in words; nothing of a whole file."""
    packet_list: list[PacketInfo]

    def to_dict(self) -> dict[str, Any]:
        """As plain data, without the packets."""
        return {name: value for name, value in asdict(self).items() if name != "packet_list"}


def info(source: str | PathLike[str] | bytes | BinaryIO) -> FileInfo:
    """Read a `.nac` file and say what it holds, also of a damaged one.

    Args:
        source: a path, "-" for stdin, an open binary file, or the bytes of one.
    Raises:
        AudioError: the file cannot be read.
        BitstreamError: its header cannot be read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _described(io.BytesIO(source))
    with open_input(source) if isinstance(source, str | PathLike) else nullcontext(source) as stream:
        return _described(stream)


def _described(stream: BinaryIO) -> FileInfo:
    reader = RepairingReader(stream)
    header, listed, damage = reader.header, list[PacketInfo](), list[str]()
    lead_in_s = header.lead_in / header.sample_rate
    for item in reader:
        at_s = round(max(0.0, (reader.frames - item.frames) / header.frame_rate - lead_in_s), 3)
        listed.append(_listed(item, at_s, 8 * header.frame_rate / header.channels))
        if isinstance(item, Loss):
            damage.append(f"{item.packets} packets at {at_s} s: {item.reason}" if item.packets else item.reason)
    samples = reader.num_samples
    frames_s = max(0.0, reader.frames / header.frame_rate - lead_in_s)
    duration_s = frames_s if samples is None else samples / header.sample_rate
    bitrate = 8 * reader.bytes / duration_s if duration_s else None
    return FileInfo(
        model=header.model_id.hex(),
        model_name=name_of_model(header.model_id),
        sample_rate=header.sample_rate,
        channels=header.channels,
        num_samples=samples,
        joint_channels=header.joint_channels,
        lead_in=header.lead_in,
        duration_s=round(duration_s, 3),
        bitrate=None if bitrate is None else round(bitrate),
        bitrate_per_channel=None if bitrate is None else round(bitrate / header.channels),
        nominal_bitrate=_mean_bitrate(header, listed),
        max_bitrate=header.bitrate,
        bytes=reader.bytes,
        payload_bytes=sum(packet.bytes or 0 for packet in listed),
        codec_sample_rate=header.codec_sample_rate,
        hop_length=header.hop_length,
        codebook_bits=header.codebook_bits,
        num_quantizers=sorted({packet.num_quantizers for packet in listed if packet.num_quantizers})
        or [header.num_quantizers],
        entropy_mode=MODES[header.entropy_mode],
        packets=reader.packets,
        frames=reader.frames,
        tags=dict(header.tags),
        damage=damage,
        packet_list=listed,
    )


def _listed(item: Packet | Loss, at_s: float, bits: float) -> PacketInfo:
    """A packet or a loss that begins there; a byte a frame is so many bits a second of a channel."""
    if isinstance(item, Loss):
        return PacketInfo(at_s, item.frames, lost=item.reason)
    size = len(item.payload)
    return PacketInfo(at_s, item.frames, item.num_quantizers, size, round(bits * size / item.frames))


def _mean_bitrate(header: Header, listed: list[PacketInfo]) -> int:
    """Mean bit/s of a channel before entropy coding; what the header allows where nothing is there."""
    bits = sum(packet.frames * header.frame_bits(packet.num_quantizers) for packet in listed if packet.num_quantizers)
    frames = sum(packet.frames for packet in listed if packet.num_quantizers)
    return round(bits / frames * header.frame_rate) if frames else header.bitrate
