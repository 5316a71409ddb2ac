"""How many codebooks each frame has, of what an encoder says of its importance.

    pcm ── encoder ─┬─ latents ──── quantizer ─── codes of as many codebooks
                    └─ importance ─ quality ───── counts

Source: VRVQ (Chae et al., 2024), section 3. Differs: what is past the count of a frame is not searched for, so that
several paths of a search end where the frame does.
"""

from __future__ import annotations

import numpy as np

from soundstream.arrays import Array
from soundstream.entropy.grid import Counts
from soundstream.spec import CodecSpec


def importance_of(latents: Array, spec: CodecSpec) -> Array:
    """The importance of frames `[streams, frames]` in what an encoder gives, `[streams, encoded_channels, frames]`."""
    return latents[:, spec.latent_dim]


def counts_at(importance: Array, quality: float, spec: CodecSpec, most: int) -> Counts:
    """Codebooks of each frame at a quality, in float32 as the original computes it.

    What codes levels is always among them: it adds to what the frames before had.

    Args:
        importance: `[streams, frames]`.
        most: codebooks of a frame at most.
    """
    scaled = importance * np.float32(quality) * np.float32(spec.num_quantizers)
    least = min(most, spec.levels.place + 1 if spec.levels else 1)
    return (np.floor(scaled).astype(np.int64) + 1).clip(least, most)
