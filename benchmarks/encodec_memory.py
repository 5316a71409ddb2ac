"""Peak memory of EnCodec's 48 kHz stereo model from disk to disk and back, over the length of the sound.

python -m benchmarks.encodec_memory -o docs/results/encodec_memory.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile

from benchmarks import encodec_parity
from benchmarks.originals import described
from soundstream.codec import Codec
from soundstream.evaluate.provenance import provenance, write_report

BITRATE = 6000
SECONDS = (10, 90)
_CODE = """
import pathlib, sys, soundstream
source, model, bitrate = sys.argv[1:]
soundstream.encode_file(source, "coded.nac", int(bitrate) or None, model=model, effort=1, force=True)
soundstream.decode_file("coded.nac", "back.wav", model=model, force=True)
print(pathlib.Path("/proc/self/status").read_text())
"""


def measured(
    codec: Codec, seconds: int, folder: Path, bitrate: int | None = BITRATE, channels: int = 0
) -> dict[str, Any]:
    """A row: a process that codes noise of so many seconds and decodes it again.

    Args:
        channels: of the noise; 0 are those that the codec takes together.
    """
    channels = channels or codec.spec.channels
    rate, samples = codec.spec.sample_rate, seconds * codec.spec.sample_rate
    _write_noise(folder / "noise.wav", seconds, channels, rate)
    command = [sys.executable, "-c", _CODE, "noise.wav", str(codec.folder), str(bitrate or 0)]
    lines = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    back = soundfile.info(folder / "back.wav")
    assert (back.frames, back.channels, back.samplerate) == (samples, channels, rate)
    return {"seconds": seconds, "peak_memory_mb": peak // 1024, "bytes": (folder / "coded.nac").stat().st_size}


def _write_noise(path: Path, seconds: int, channels: int, rate: int) -> None:
    """Second by second."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate, channels, "PCM_16") as file:
        for _ in range(seconds):
            file.write(0.1 * rng.normal(size=(rate, channels)))


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description="Peak memory of EnCodec at 48 kHz.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    theirs = encodec_parity.original(**encodec_parity.STEREO)
    with TemporaryDirectory() as work, encodec_parity.imported(theirs, "48khz") as ours:
        rows = [measured(ours, seconds, Path(work)) for seconds in SECONDS]
        data = f"noise in stereo at 48 kHz and {BITRATE} bit/s; {described('transformers')}"
        report = provenance(ours.model_id.hex(), data)
    write_report(args.output, report | {"rows": rows})


if __name__ == "__main__":
    main()
