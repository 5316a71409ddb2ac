"""Variable rate: as many codebooks for each packet as its sound needs, for the bits that a constant rate would take.

Entropy coding alone makes silence cost little. What is left to decide is where one more codebook lowers the error most
for the bits that it really takes.

Source: ours; it relies on quantizer dropout (SoundStream, section III-C): one model serves every number of codebooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array, Codes
from soundstream.spec import CodecSpec

MIN_QUANTIZERS = 2
"""Codebooks of any packet, unless the constant rate has fewer; below, log-mel loses more than the bits buy."""
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


def _gains(packet: Costs, least: int) -> NDArray[np.float64]:
    """What every codebook behind the first `least` brings for a bit; never more than the one before it."""
    falls = -np.diff(np.sqrt(packet.errors)) / (packet.bits[1:] / packet.frames + _FREE_BITS)
    return np.minimum.accumulate(falls[least - 1 :])
