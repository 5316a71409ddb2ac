"""Speed of EnCodec here and in `transformers`, both with the same random weights, in one run on one core.

python -m benchmarks.encodec_speed -o docs/results/encodec_speed.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import encodec_parity
from benchmarks.originals import described, speed_rows, timed
from soundstream.codec import Codec
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.evaluate.speed.bench import speech_like
from soundstream.evaluate.speed.timing import single_thread

BITRATE = 6000
SECONDS = 10
ROUNDS = 5


def rows(theirs: Any, ours: Codec) -> list[dict[str, Any]]:
    """Speed of both programs."""
    spec = ours.spec
    pcm = np.repeat(speech_like(SECONDS, spec.sample_rate), spec.channels, axis=0)
    clip = torch.from_numpy(pcm)[None]
    coded = theirs.encode(clip, bandwidth=BITRATE / 1000)
    frames = spec.segments_of(pcm.shape[1]) if spec.segment_samples else [coded.audio_codes.shape[-1]]
    parts = timed(
        ours,
        pcm,
        BITRATE,
        lambda: theirs.encode(clip, bandwidth=BITRATE / 1000),
        lambda: encodec_parity.decoded(theirs, coded, frames),
        "transformers",
    )
    return speed_rows([*parts], f"{spec.sample_rate // 1000}khz", SECONDS, ROUNDS)


@torch.no_grad()
def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description="Time EnCodec beside the original.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found, ids = [], []
    for variant, settings in encodec_parity.VARIANTS.items():
        theirs = encodec_parity.original(**settings)
        with single_thread(), encodec_parity.imported(theirs, variant) as ours:
            found += rows(theirs, ours)
            ids.append(ours.model_id.hex())
    data = f"{SECONDS} s of generated speech-like sound at {BITRATE} bit/s; {described('transformers')}"
    write_report(args.output, provenance(", ".join(ids), data) | {"rounds": ROUNDS, "rows": found})


if __name__ == "__main__":
    main()
