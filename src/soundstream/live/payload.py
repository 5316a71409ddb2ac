"""Codes of one live packet, and a coarse copy of those of the packet before it, to payload bytes and back.

    frame after frame: channel after channel: code after code | the same of the copy | zero bits to the byte

How many codebooks the copy has follows from the payload's length: docs/format.md, Live packets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from soundstream.arrays import Codes
from soundstream.bitstream.live import LivePacket
from soundstream.entropy.plain import PlainCoder
from soundstream.errors import ConfigError, InvalidField
from soundstream.spec import CodecSpec


class Content(NamedTuple):
    """What a live packet holds."""

    sequence: int
    codes: Codes
    """`[channels, num_quantizers, frames]`."""
    copy: Codes
    """The first codebooks of the packet before, `[channels, redundancy, frames]`; none is a redundancy of 0."""


class Payloads:
    """Live packets of one model and number of channels."""

    def __init__(self, spec: CodecSpec, channels: int) -> None:
        self._coder = PlainCoder(spec.codebook_bits)
        self._max_quantizers = spec.num_quantizers
        self._channels = channels

    def check_redundancy(self, redundancy: int, frames: int) -> None:
        """Refuse a copy that could not be told from the zero bits at the end of a payload.

        Raises:
            ConfigError: one codebook of all frames takes less than a byte.
        """
        bits = self._codebook_bits(frames)
        if redundancy and bits < 8:
            raise ConfigError(
                f"redundancy needs 8 bits a codebook; {frames} frames take {bits}: use more packet_frames"
            )

    def pack(self, content: Content) -> bytes:
        """The live packet."""
        _, num_quantizers, frames = content.codes.shape
        payload = self._coder.encode(np.concatenate([_flat(content.codes), _flat(content.copy)])[None, :, None])
        return LivePacket(content.sequence, num_quantizers, frames, payload).to_bytes()

    def unpack(self, data: bytes) -> Content:
        """Inverse of `pack`.

        Raises:
            Truncated, InvalidField: no such packet can have been made.
        """
        packet = LivePacket.from_bytes(data)
        counts = packet.num_quantizers, self._copied(packet)
        if max(counts) > self._max_quantizers:
            raise InvalidField(f"the packet uses {max(counts)} codebooks; this model has {self._max_quantizers}")
        sizes = [self._channels * count * packet.frames for count in counts]
        flat = self._coder.decode(packet.payload, (1, sum(sizes), 1))[0, :, 0]
        codes, copy = (
            part.reshape(packet.frames, self._channels, count).transpose(1, 2, 0)
            for part, count in zip(np.split(flat, sizes[:1]), counts, strict=True)
        )
        return Content(packet.sequence, codes, copy)

    def _copied(self, packet: LivePacket) -> int:
        """Codebooks of the copy, as the payload's length tells."""
        bits = self._codebook_bits(packet.frames)
        left = 8 * len(packet.payload) - bits * packet.num_quantizers
        return max(0, left // bits) if bits >= 8 else 0

    def _codebook_bits(self, frames: int) -> int:
        return self._coder.codebook_bits * self._channels * frames


def _flat(codes: Codes) -> Codes:
    return codes.transpose(2, 0, 1).reshape(-1)
