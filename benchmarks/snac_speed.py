"""Speed of SNAC here and in the package `snac`, both with the same random weights, in one run on one core; and memory.

python -m benchmarks.snac_speed -o docs/results/snac_speed.json
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks import snac_parity
from benchmarks.encodec_memory import measured
from benchmarks.originals import described, imported, speed_rows, timed
from soundstream.codec import Codec
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.evaluate.speed.bench import speech_like
from soundstream.evaluate.speed.timing import single_thread
from soundstream.nn.families.snac import VARIANTS

SECONDS = 4
ROUNDS = 2
MEMORY_SECONDS = (6, 18)


def rows(theirs: Any, ours: Codec) -> list[dict[str, Any]]:
    """Speed of both programs."""
    pcm = speech_like(SECONDS, ours.spec.sample_rate)
    clip = torch.from_numpy(pcm)[None]
    codes = theirs.encode(clip)
    parts = timed(ours, pcm, None, lambda: theirs.encode(clip), lambda: theirs.decode(codes), "snac")
    return speed_rows([*parts], f"{ours.spec.sample_rate // 1000}khz", SECONDS, ROUNDS)


@torch.no_grad()
def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description="Time SNAC beside the original.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found, memory, ids = [], [], []
    for variant in snac_parity.MEASURED:
        theirs = snac_parity.original(VARIANTS[variant])
        with imported("snac", variant, partial(snac_parity.saved, theirs)) as ours:
            with single_thread():
                found += rows(theirs, ours)
            with TemporaryDirectory() as work:
                memory += [{"model": variant} | measured(ours, seconds, Path(work), None) for seconds in MEMORY_SECONDS]
            ids.append(ours.model_id.hex())
    data = f"{SECONDS} s of generated speech-like sound, memory with noise; {described('snac')}"
    report = provenance(", ".join(ids), data) | {"rounds": ROUNDS, "rows": found, "memory": memory}
    write_report(args.output, report)


if __name__ == "__main__":
    main()
