"""Speed of DAC here and in `transformers`, both with the same random weights, in one run on one core; and memory.

python -m benchmarks.dac_speed -o docs/results/dac_speed.json
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import dac_parity
from benchmarks.originals import described, imported, speed_rows, timed
from soundstream.codec import Codec
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.evaluate.speed.bench import speech_like
from soundstream.evaluate.speed.timing import single_thread
from soundstream.nn.families.dac import VARIANTS

SECONDS = 4
ROUNDS = 2


def rows(theirs: Any, ours: Codec) -> list[dict[str, Any]]:
    """Speed of both programs, all codebooks in use."""
    spec = ours.spec
    pcm = speech_like(SECONDS, spec.sample_rate)
    clip = dac_parity.whole_hops(pcm, spec.hop_length)
    codes = theirs.encode(clip).audio_codes
    bitrate = spec.bitrate(spec.num_quantizers)
    parts = timed(
        ours, pcm, bitrate, lambda: theirs.encode(clip), lambda: theirs.decode(audio_codes=codes), "transformers"
    )
    return speed_rows([*parts], f"{spec.sample_rate // 1000}khz", SECONDS, ROUNDS)


@torch.no_grad()
def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description="Time DAC beside the original.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found, ids = [], []
    for variant in dac_parity.MEASURED:
        theirs = dac_parity.original(VARIANTS[variant])
        with single_thread(), imported("dac", variant, partial(dac_parity.saved, theirs)) as ours:
            found += rows(theirs, ours)
            ids.append(ours.model_id.hex())
    data = f"{SECONDS} s of generated speech-like sound with all codebooks; {described('transformers')}"
    write_report(args.output, provenance(", ".join(ids), data) | {"rounds": ROUNDS, "rows": found})


if __name__ == "__main__":
    main()
