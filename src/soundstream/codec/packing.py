"""Codes to packets and back in every entropy mode of a model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import cached_property

from soundstream.arrays import Codes
from soundstream.bitstream.fields import MAX_PAYLOAD
from soundstream.bitstream.header import Header, Stack
from soundstream.bitstream.packet import SEQUENCES, Loss, Packet
from soundstream.codec.payloads import codes_of, payload_of
from soundstream.entropy.coder import Coder
from soundstream.entropy.context import Codebooks
from soundstream.entropy.context_coder import ContextCoder
from soundstream.entropy.plain import PlainCoder
from soundstream.entropy.static import StaticCoder
from soundstream.entropy.tables import Tables
from soundstream.errors import BitstreamError, ConfigError, InvalidField

MODES = ("none", "fast", "best")
"""Names of the entropy modes; a header holds the place of its own in this list."""
MAX_BEST_QUANTIZERS = 8
"""Codebooks up to which the context model is the default: each takes as long to decode, and the last save least."""
FIRST_AT_ONCE = 8
"""Packets of the first group that is decoded side by side: eight take little longer than one, and sound starts soon."""
MAX_AT_ONCE = 64
"""Packets of every later group."""


class Coding:
    """The entropy coders of a model.

    Args:
        codebook_bits: bits of a plain code.
        codebooks: `[entries, latent_dim]` each.
        tables: fitted to this model; None leaves only plain codes.
        stack: bits and strides of the codebooks where they are not alike.
        side_numbers: of a segment, which stand behind its codes.
    """

    def __init__(
        self,
        codebook_bits: int,
        codebooks: Codebooks,
        tables: Tables | None,
        stack: Stack = (),
        side_numbers: int = 0,
    ) -> None:
        self._plain = PlainCoder(codebook_bits, stack)
        self._stack, self._side_numbers = stack, side_numbers
        self._granule = math.lcm(*(stride for _, stride in stack))
        self._codebooks = codebooks
        self._tables = tables

    def default_mode(self, num_quantizers: int) -> str:
        """For a model with tables `best`, or `fast` where many codebooks would decode too slowly; else `none`."""
        if not self._tables:
            return MODES[0]
        return MODES[2] if num_quantizers <= MAX_BEST_QUANTIZERS else MODES[1]

    def mode(self, name: str | None, num_quantizers: int) -> int:
        """Number of a mode in a header; None is the default one.

        Raises:
            ConfigError: there is no such mode, or the model has no tables for it.
        """
        name = self.default_mode(num_quantizers) if name is None else name
        if name not in MODES:
            raise ConfigError(f"entropy mode {name!r} is unknown; expected one of: {', '.join(MODES)}")
        if name != MODES[0] and not self._tables:
            raise ConfigError(
                f"entropy mode {name!r} needs tables, which this model lacks; "
                "choose none, or fit them with: soundstream fit-entropy"
            )
        return MODES.index(name)

    def pack(self, parts: Iterable[Codes], mode: int, frame_counts: bool = False) -> Iterator[Packet]:
        """A packet for each part `[streams, num_quantizers, frames]`, more where one is too small, numbered from 0.

        Of a codec with side numbers, which stand behind the codes, a part is a segment.

        Args:
            frame_counts: whether the file's frames have counts; ABSENT then stands for codes that a frame lacks.
        """
        coder = self.coder(mode)
        fitting = (coded for part in parts for coded in self._fitting(coder, part, frame_counts))
        for i, (part, payload) in enumerate(fitting):
            yield Packet(i % SEQUENCES, part.shape[1] - self._side_numbers, part.shape[2], payload)

    def _fitting(self, coder: Coder, part: Codes, frame_counts: bool) -> Iterator[tuple[Codes, bytes]]:
        """A part and its payload, or those of its halves where a packet cannot hold it; a segment stays whole."""
        payload = payload_of(part, coder, self._side_numbers, frame_counts)
        if len(payload) <= MAX_PAYLOAD or self._side_numbers:
            yield part, payload
            return
        middle = max(1, part.shape[2] // 2 // self._granule) * self._granule
        for half in (part[:, :, :middle], part[:, :, middle:]):
            yield from self._fitting(coder, half, frame_counts)

    def unpack(self, packets: Iterable[Packet], header: Header) -> Iterator[Codes]:
        """Codes `[streams, num_quantizers, frames]`, and side numbers behind them, of one packet after the other.

        Raises:
            BitstreamError: a packet is damaged; the codes of those before it were yielded.
        """
        for _, found in self._unpack(packets, header):
            if isinstance(found, BitstreamError):
                raise found
            if not isinstance(found, Loss):
                yield found

    def repair(self, packets: Iterable[Packet | Loss], header: Header) -> Iterator[Codes | Loss]:
        """The same for a damaged file, with losses as they come and in the places of packets that cannot be decoded."""
        for frames, found in self._unpack(packets, header):
            yield Loss(1, frames, str(found)) if isinstance(found, BitstreamError) else found

    def _unpack(
        self, packets: Iterable[Packet | Loss], header: Header
    ) -> Iterator[tuple[int, Codes | Loss | BitstreamError]]:
        """Frames and codes of one packet after the other, losses between them, and errors in place of codes."""
        coder = self._coder_of(header)
        for group in _groups(packets, MAX_AT_ONCE if coder.side_by_side else 1):
            if isinstance(group, Loss):
                yield group.frames, group
            else:
                yield from ((group[0].frames, found) for found in codes_of(group, coder, header))

    def _coder_of(self, header: Header) -> Coder:
        if header.entropy_mode and not self._tables:
            raise InvalidField("the file's codes are entropy-coded, but the model that it names has no tables")
        return self.coder(header.entropy_mode)

    def coder(self, mode: int) -> Coder:
        """The coder of a mode, by its number; the model must have what it needs (see `mode`)."""
        if mode == 0:
            return self._plain
        return self._static if mode == 1 else self._context

    @cached_property
    def _static(self) -> StaticCoder:
        assert self._tables
        return StaticCoder(self._tables, self._stack)

    @cached_property
    def _context(self) -> ContextCoder:
        assert self._tables
        return ContextCoder(self._tables, self._codebooks, self._stack)


def _groups(packets: Iterable[Packet | Loss], at_once: int) -> Iterator[list[Packet] | Loss]:
    """Packets of one shape together, few at first; a loss or an error comes after the packets before it."""
    held: list[Packet] = []
    most = min(FIRST_AT_ONCE, at_once)
    try:
        for packet in packets:
            if held and (isinstance(packet, Loss) or len(held) == most or _shape(packet) != _shape(held[0])):
                yield held
                held, most = [], at_once
            if isinstance(packet, Loss):
                yield packet
            else:
                held.append(packet)
    except BitstreamError:
        if held:
            yield held
        raise
    if held:
        yield held


def _shape(packet: Packet) -> tuple[int, int]:
    return packet.num_quantizers, packet.frames
