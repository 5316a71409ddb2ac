"""What config.json says of a codec where it has no spec yet, and what of a spec this release cannot do."""

from __future__ import annotations

import math
from typing import Any

from soundstream.limits import Whole
from soundstream.spec import Codebook, CodecSpec, Switch

EARLY_MEMORY_FRAMES = 128
"""More than what decoders of artifacts without a spec remember."""


def early_spec(settings: dict[str, Any]) -> CodecSpec:
    """The spec of an artifact of release 0.2 or before, whose config.json has the settings of its networks alone.

    Raises:
        KeyError, TypeError, ValueError: it lacks one of them, or one is out of range.
    """
    count = settings["num_quantizers"]
    Whole(1, 128).check("num_quantizers", count)
    switches = (Switch("denoise", settings.get("film", "encoder")),) if settings.get("denoise") else ()
    return CodecSpec(
        sample_rate=settings["sample_rate"],
        hop_length=settings.get("hop_length") or math.prod(settings["strides"]),
        latent_dim=settings["latent_dim"],
        codebooks=(Codebook(settings["codebook_size"]),) * count,
        counts=tuple(range(1, count + 1)),
        delay_samples=settings.get("overlap", 0),
        memory_frames=EARLY_MEMORY_FRAMES,
        switches=switches,
    )


def unsupported(spec: CodecSpec) -> list[str]:
    """What streams and files of this release do not know of yet, in words."""
    wants = {
        "channels coded together": spec.channels > 1,
        "segments": spec.segment_samples or spec.overlap_samples,
        "look-ahead": spec.lookahead_samples,
        "numbers beside its codes": spec.side_numbers,
        "codebooks of several sizes": len({book.size for book in spec.codebooks}) > 1,
        "codebooks of several strides": any(book.stride > 1 for book in spec.codebooks),
    }
    return [name for name, wanted in wants.items() if wanted]
