"""Memory of a call that lasts: the process's resident memory as sound goes through one live session each way.

python -m benchmarks.long_call -o docs/results/long_call.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from soundstream.codec import Codec, load
from soundstream.errors import CodecError
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.evaluate.speed.bench import speech_like
from soundstream.live.network.simulate import RandomLoss

LOSS = 0.1
SAMPLE_RATE = 48_000
"""Not the codec's, so that the resamplers work as well."""
PACKET_FRAMES = 4
"""The most, which takes the least time."""
MINUTE_S = 60
CLIP_S = 10
"""Length of the sound that is repeated."""
_STATUS = Path("/proc/self/status")


def run(codec: Codec, minutes: int) -> list[dict[str, float]]:
    """Resident memory in MB after each minute of sound, of which a share of the packets is lost.

    Raises:
        CodecError: the system is not Linux.
    """
    encoder = codec.open_encoder(SAMPLE_RATE, packet_frames=PACKET_FRAMES, redundancy=1)
    decoder, rng = codec.open_decoder(SAMPLE_RATE), np.random.default_rng(0)
    pcm, rows = speech_like(CLIP_S, SAMPLE_RATE), []
    for minute in range(1, minutes + 1):
        for start in range(0, MINUTE_S * SAMPLE_RATE, 960):
            packets = encoder.push(pcm[:, start % pcm.shape[1] :][:, :960])
            for packet, lost in zip(packets, RandomLoss(LOSS).draw(len(packets), rng), strict=True):
                decoder.push(None if lost else packet)
        rows.append({"minutes": minute, "memory_mb": resident_mb()})
    return rows


def resident_mb() -> float:
    """Memory of this process in MiB.

    Raises:
        CodecError: the system is not Linux.
    """
    if not _STATUS.exists():
        raise CodecError("the memory of a running process is read on Linux only")
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


def report(codec: Codec, minutes: int) -> dict[str, Any]:
    """The figures as plain data."""
    rows = run(codec, minutes)
    about = provenance(codec.model_id.hex(), f"{minutes} minutes of generated speech-like sound, {LOSS:.0%} lost")
    last = rows[-1]["memory_mb"]
    return about | {"minutes": minutes, "first_mb": rows[0]["memory_mb"], "last_mb": last, "rows": rows}


def main() -> None:
    """Run the call and write the report."""
    parser = argparse.ArgumentParser(description="Measure the memory of a call that lasts.")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--model", default="default")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    figures = report(load(args.model), args.minutes)
    write_report(args.output, figures)


if __name__ == "__main__":
    main()
