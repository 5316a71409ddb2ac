"""Variable rate: as many codebooks for each packet as its sound needs, for the bits that a constant rate would take.

Entropy coding alone makes silence cost little. What is left to decide is where one more codebook lowers the error most
for the bits that it really takes.

A codec that tells how many codebooks each frame needs has a count for each instead: of the qualities that it may be
asked for, the one that makes the file as large.

Source: ours; it relies on quantizer dropout (SoundStream, section III-C): one model serves every number of codebooks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array, Codes
from soundstream.codec.payloads import coded_counts
from soundstream.entropy.grid import Counts
from soundstream.runtime.importance import counts_at
from soundstream.spec import CodecSpec

MIN_QUANTIZERS = 2
"""Codebooks of any packet, unless the constant rate has fewer; below, log-mel loses more than the bits buy."""
_ROUNDS = 3
"""In which a quality and what its counts take are found, each from the other."""
_HALVINGS = 16
"""Of the range of qualities, on a logarithmic scale: the last one is 0.01 % of it or less."""
_FREE_BITS = 2.0
"""Counted on top of the bits of every code: those of silence are nearly free, and more of them are still not heard."""


class Costs(NamedTuple):
    """What each codebook of a packet does and takes."""

    errors: NDArray[np.float64]
    """`residual_energy` of the packet."""
    bits: NDArray[np.float64]
    """Coded bits of each codebook `[num_quantizers]`."""
    frames: int
    """Frames of all channels together."""
    importance: Array | None = None
    """Of each frame `[streams, frames]`, of a codec that tells it."""


def spooled(latents: Array, spool: IO[bytes]) -> Array:
    """The same latents, after they were added to a file that `np.load` reads part by part."""
    np.save(spool, latents)
    return latents


def residual_energy(latents: Array, codes: Codes, codebooks: Sequence[Array]) -> NDArray[np.float64]:
    """Mean square error per value of the latents after each codebook `[num_quantizers]`.

    Args:
        latents: `[channels, latent_dim, frames]`.
        codes: `[channels, num_quantizers, frames]`.
        codebooks: `[entries, latent_dim]` each.
    """
    left = latents.transpose(0, 2, 1)
    found = []
    for q in range(codes.shape[1]):
        left = left - codebooks[q][codes[:, q]]
        found.append(float(np.square(left).mean()))
    return np.array(found)


def min_quantizers(spec: CodecSpec) -> int:
    """Codebooks of any packet: what codes levels is always among them, since no error tells its worth."""
    return max(MIN_QUANTIZERS, spec.levels.place + 1) if spec.levels else MIN_QUANTIZERS


def allocate(packets: Sequence[Costs], constant: int, least: int = MIN_QUANTIZERS) -> list[int]:
    """Codebooks for each packet, so that all take no more bits than `constant` codebooks in every packet would.

    Codebooks are given one by one to where the root mean square error falls most for each coded bit.

    Args:
        packets: each with the same number of codebooks, at least `constant`.
        constant: codebooks, at least 1.
        least: codebooks of any packet, unless `constant` is fewer.
    """
    if not packets:
        return []
    least = min(least, constant)
    bits = np.stack([packet.bits for packet in packets])
    spare = bits[:, least:constant].sum()
    gains = np.stack([_gains(packet, least) for packet in packets])
    order = np.argsort(-gains, axis=None, kind="stable")
    affordable = bits[:, least:].ravel()[order].cumsum() <= spare * (1 + 1e-9)
    given = np.zeros(gains.size, bool)
    given[order[affordable]] = True
    return (least + given.reshape(gains.shape).sum(axis=1)).tolist()


def quality_for(packets: Sequence[Costs], constant: int, spec: CodecSpec, most: int) -> float:
    """The highest quality at which all packets take about the bits that `constant` codebooks in every packet would.

    The codes of a codebook count as if all frames of a packet had it. What the counts of frames take is measured at the
    quality that was found last, where it is nearly what it is at the next. The lowest quality of a codec may take more.

    Args:
        packets: with the importance of their frames.
        most: codebooks of a frame at most, as many as the packets have bits of.
    """
    spare, of_counts, quality = sum(packet.bits[:constant].sum() for packet in packets), 0, 0.0
    for _ in range(_ROUNDS):
        quality = _filling(packets, spare - of_counts, spec, most)
        coded = [coded_counts(packet_counts(packet, quality, spec, most), most) for packet in packets]
        of_counts = 8 * sum(map(len, coded))
    return quality


def _filling(packets: Sequence[Costs], spare: float, spec: CodecSpec, most: int) -> float:
    """The highest quality at which the codes of all packets take no more bits."""
    assert spec.importance
    low, high = spec.importance.lowest, spec.importance.highest
    if _code_bits(packets, high, spec, most) <= spare:
        return high
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _code_bits(packets, middle, spec, most) <= spare else (low, middle)
    return low


def packet_counts(packet: Costs, quality: float, spec: CodecSpec, most: int) -> Counts:
    """Codebooks of each frame of a packet at a quality."""
    assert packet.importance is not None
    return counts_at(packet.importance, quality, spec, most)


def _code_bits(packets: Sequence[Costs], quality: float, spec: CodecSpec, most: int) -> float:
    """Bits of the codes of all packets at a quality."""
    counts = ((packet, packet_counts(packet, quality, spec, most)) for packet in packets)
    return float(sum(packet.bits @ (found[..., None] > np.arange(most)).mean(axis=(0, 1)) for packet, found in counts))


def _gains(packet: Costs, least: int) -> NDArray[np.float64]:
    """What every codebook behind the first `least` brings for a bit; never more than the one before it."""
    falls = -np.diff(np.sqrt(packet.errors)) / (packet.bits[1:] / packet.frames + _FREE_BITS)
    return np.minimum.accumulate(falls[least - 1 :])
