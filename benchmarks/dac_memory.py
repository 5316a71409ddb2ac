"""Peak memory of DAC at 44.1 kHz from disk to disk and back, in stereo, over the length of the sound.

python -m benchmarks.dac_memory -o docs/results/dac_memory.json

A narrow model, whose chunks are those of the published one, takes an hour; the published widths take seconds, which are
many chunks too.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks import dac_parity
from benchmarks.encodec_memory import measured
from benchmarks.originals import described, imported
from soundstream.codec import Codec, load
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.export.artifact import export
from soundstream.nn.families.dac import VARIANTS, Config, build

NARROW = Config(encoder_channels=4, decoder_channels=32, latent_dim=16, num_quantizers=6, codebook_size=64)
NARROW_SECONDS = (60, 3600)
FULL = "44khz"
FULL_SECONDS = (10, 30)


def rows(codec: Codec, model: str, lengths: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """One for each length in seconds, all codebooks in use."""
    bitrate = codec.spec.bitrate(codec.spec.num_quantizers)
    with TemporaryDirectory() as work:
        for seconds in lengths:
            yield {"model": model} | measured(codec, seconds, Path(work), bitrate, channels=2)


def narrow() -> Iterator[dict[str, Any]]:
    """Rows of the narrow model."""
    torch.manual_seed(0)
    with TemporaryDirectory() as work:
        export(build(NARROW), Path(work) / "model")
        yield from rows(load(Path(work) / "model"), "narrow", NARROW_SECONDS)


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description="Peak memory of DAC.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    theirs = dac_parity.original(VARIANTS[FULL])
    with imported("dac", FULL, partial(dac_parity.saved, theirs)) as ours:
        found = [*rows(ours, FULL, FULL_SECONDS), *narrow()]
        report = provenance(ours.model_id.hex(), f"noise in stereo at 44.1 kHz; {described('transformers')}")
    write_report(args.output, report | {"rows": found})


if __name__ == "__main__":
    main()
