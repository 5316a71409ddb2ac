"""Variable rate: as many codebooks for each packet as its sound needs.

Source: ours; it relies on quantizer dropout (SoundStream, section III-C): one model serves every number of codebooks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Codes = NDArray[np.int64]


def errors(latents: Array, codes: Codes, codebooks: Array) -> NDArray[np.float64]:
    """Mean square error per value of the latents after each codebook `[num_quantizers]`.

    Args:
        latents: `[channels, latent_dim, frames]`.
        codes: `[channels, num_quantizers, frames]`.
        codebooks: `[num_quantizers, codebook_size, latent_dim]`.
    """
    left = latents.transpose(0, 2, 1)
    found = []
    for q in range(codes.shape[1]):
        left = left - codebooks[q][codes[:, q]]
        found.append(float(np.square(left).mean()))
    return np.array(found)


def allocate(packet_errors: Sequence[NDArray[np.float64]], frames: Sequence[int], average: float) -> list[int]:
    """Codebooks for each packet, so that all have about the same error and take `average` codebooks a frame at most.

    Args:
        packet_errors: `errors` of each packet, which fall from codebook to codebook.
        frames: frames of each packet.
        average: codebooks a frame; at least 1.
    """
    if not packet_errors:
        return []
    falling = np.minimum.accumulate(np.stack(packet_errors), axis=1)
    weights = np.asarray(frames) / np.sum(frames)
    for limit in np.unique(falling):
        counts = 1 + (falling[:, :-1] > limit).sum(axis=1)
        if (counts * weights).sum() <= average + 1e-9:
            return counts.tolist()
    return [1] * len(packet_errors)
