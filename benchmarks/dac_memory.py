"""Peak memory of a narrow DAC of 44.1 kHz from disk to disk and back, in stereo, over the length of the sound.

python -m benchmarks.dac_memory -o docs/results/dac_memory.json

Of the published widths only weights and what is computed of two seconds are larger; how memory grows with the length of
a sound does not depend on them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.encodec_memory import measured
from soundstream.codec import load
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.export.artifact import export
from soundstream.nn.families.dac import Config, build

NARROW = Config(encoder_channels=4, decoder_channels=32, latent_dim=16, num_quantizers=6, codebook_size=64)
SECONDS = (10, 90, 600)


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description="Peak memory of a narrow DAC.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    with TemporaryDirectory() as work:
        export(build(NARROW), Path(work) / "model")
        codec = load(Path(work) / "model")
        rows = [measured(codec, seconds, Path(work), codec.spec.bitrate(6), channels=2) for seconds in SECONDS]
    report = provenance(codec.model_id.hex(), "noise in stereo at 44.1 kHz; random weights of a narrow model")
    write_report(args.output, report | {"rows": rows})


if __name__ == "__main__":
    main()
