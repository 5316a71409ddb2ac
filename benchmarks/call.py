"""Calls between two processes over loopback UDP: how intelligible speech is that lost packets on its way.

    python -m benchmarks.call valid/speech -o docs/results/call.json

For each clip and each network `soundstream send` plays the clip in real time to a `soundstream receive` of its own;
the same packets are lost each time. STOI compares what was received with the clip.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soundstream import audio
from soundstream.arrays import Array
from soundstream.codec import load
from soundstream.errors import CodecError
from soundstream.evaluate import clips
from soundstream.evaluate.align import align
from soundstream.evaluate.metrics import REGISTRY, measure
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.evaluate.statistics import mean_of

RATE = 24_000
PROGRAM = (sys.executable, "-m", "soundstream")


@dataclass(frozen=True)
class Line:
    """How a clip is sent."""

    loss: float
    """Share of packets that is lost."""
    redundancy: int = 0
    """Codebooks of the packet before that each packet repeats."""
    jitter_ms: float = 0.0
    """Mean delay, exponentially distributed."""
    bitrate: int = 6000


_PATIENCE_S = 60  # for a receiver whose sender has ended
LINES = (Line(0), Line(0.1), Line(0.1, redundancy=4), Line(0.1, jitter_ms=10))


def call(path: Path, line: Line, model: str, seed: int) -> tuple[Array, dict[str, Any]]:
    """Send a file over loopback.

    Returns:
        Received pcm `[samples]` at RATE, and the receiver's summary.
    Raises:
        CodecError: one of the two programs failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        heard = Path(folder) / "heard.wav"
        listening = _start("receive", "--port", "0", "--bind", "127.0.0.1", "-o", heard, "--json", "--model", model)
        with listening as receiver:
            assert receiver.stderr
            port = re.search(r"port (\d+)", receiver.stderr.readline())
            if not port:
                raise CodecError(f"receive did not start: {receiver.stderr.read()}")
            try:
                _send(path, f"127.0.0.1:{port[1]}", line, model, seed)
                output, errors = receiver.communicate(timeout=_PATIENCE_S)
            finally:
                receiver.kill()
        if receiver.returncode:
            raise CodecError(f"receive failed: {errors}")
        return audio.read(heard)[0][0], json.loads(output)


def _send(path: Path, to: str, line: Line, model: str, seed: int) -> None:
    network = ["--loss", line.loss, "--jitter-ms", line.jitter_ms, "--seed", seed]
    coding = ["--bitrate", line.bitrate, "--redundancy", line.redundancy, "--model", model]
    with _start("send", path, "--to", to, *network, *coding) as sender:
        _, errors = sender.communicate()
    if sender.returncode:
        raise CodecError(f"send failed: {errors}")


def _start(*args: object) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*PROGRAM, *map(str, args)], stdout=pipe, stderr=pipe, text=True)


def measure_line(chosen: Sequence[clips.Clip], line: Line, model: str) -> dict[str, Any]:
    """Means over the clips of STOI and of what became of the packets."""
    scores, late, received, expected = [], 0, 0, 0
    for seed, clip in enumerate(chosen):
        pcm, sample_rate = clips.read(clip)
        heard, counts = call(clip.path, line, model, seed)
        original = audio.resample(pcm[None], sample_rate, RATE)[0]
        score = measure(REGISTRY["stoi"], original, align(original, heard, RATE)[0], RATE)
        scores += [] if score is None else [score]
        expected, received, late = (a + counts[b] for a, b in zip((expected, received, late), _COUNTED, strict=True))
    stoi = mean_of(scores)
    row = {"stoi": stoi and asdict(stoi), "packets": expected, "lost": expected - received, "late": late}
    return asdict(line) | row


_COUNTED = ("expected", "received", "late")


def main() -> None:
    """Call over each line and write the report."""
    parser = argparse.ArgumentParser(description="Measure calls over loopback.")
    parser.add_argument("folder", type=Path, help="clips of speech")
    parser.add_argument("--limit", type=int, default=8, help="most clips")
    parser.add_argument("--model", default="default")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    chosen = clips.find(args.folder, args.limit)
    about = provenance(load(args.model).model_id.hex(), f"{len(chosen)} clips of speech, played in real time")
    report = about | {"rows": [measure_line(chosen, line, args.model) for line in LINES]}
    print(json.dumps(report, indent=1))
    if args.output:
        write_report(args.output, report)


if __name__ == "__main__":
    main()
