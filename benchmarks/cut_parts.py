"""Whether a part that was cut from a file sounds as it does there, and whether parts that are joined are the file.

python -m benchmarks.cut_parts examples/clips -o docs/results/cuts.json
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from soundstream import Codec, audio, load
from soundstream.bitstream import Reader
from soundstream.codec.editing import cat, cut
from soundstream.evaluate import clips
from soundstream.evaluate.provenance import provenance, write_report

BITRATE = 6000
PARTS_S = ((1.0, 5.0), (1.50731, 4.0), (2.0123, 5.3))
"""Start and end of the parts of each clip."""
JOINED = 9
"""Parts that each clip is cut into and joined from."""


def part(codec: Codec, data: bytes, start_s: float, end_s: float | None = None) -> bytes:
    """A part of a file."""
    cut(codec, Reader(io.BytesIO(data)), out := io.BytesIO(), start_s, end_s)
    return out.getvalue()


def compare(codec: Codec, data: bytes, whole: np.ndarray) -> Iterator[dict[str, float]]:
    """For each part how much it differs at most from its place in the whole, its bytes, and its lead-in."""
    for start_s, end_s in PARTS_S:
        cut_out = part(codec, data, start_s, end_s)
        (pcm, rate), header = codec.decode(cut_out), Reader(io.BytesIO(cut_out)).header
        start = round(start_s * rate)
        yield {
            "start_s": start_s,
            "end_s": end_s,
            "largest_difference": float(np.abs(pcm - whole[:, start : start + pcm.shape[1]]).max()),
            "bytes": len(cut_out),
            "lead_in_s": round(header.lead_in / rate, 4),
        }


def join(codec: Codec, data: bytes, count: int, seed: int) -> dict[str, Any]:
    """A file cut at samples drawn by chance, and joined again."""
    reader = Reader(io.BytesIO(data))
    samples, rate = reader.num_samples or 0, reader.header.sample_rate
    places = [0, *sorted(np.random.default_rng(seed).integers(1, samples, count - 1).tolist()), samples]
    parts = [part(codec, data, start / rate, end / rate) for start, end in pairwise(places)]
    cat(codec, [Reader(io.BytesIO(one)) for one in parts], out := io.BytesIO())
    again = Reader(io.BytesIO(out.getvalue()))
    same = [packet.payload for packet in again] == [packet.payload for packet in reader]
    return {
        "parts": count,
        "bytes_of_parts": sum(map(len, parts)),
        "bytes": len(data),
        "samples": samples,
        "samples_joined": again.num_samples,
        "same_payloads": same,
    }


def main() -> None:
    """Measure the clips of a folder."""
    parser = argparse.ArgumentParser(description="Cut and join files.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    codec, rows = load(), list[dict[str, Any]]()
    for clip in clips.find(args.folder):
        pcm, rate = audio.read(clip.path)
        data = codec.encode(pcm, rate, BITRATE)
        compared = list(compare(codec, data, codec.decode(data)[0]))
        rows.append({"clip": clip.name, "parts": compared, "joined": join(codec, data, JOINED, len(rows))})
    most = {name: max(p[name] for row in rows for p in row["parts"]) for name in ("largest_difference", "lead_in_s")}
    facts = {"bitrate": BITRATE, "most": most, "rows": rows}
    write_report(args.output, provenance(codec.model_id.hex(), str(args.folder)) | facts)


if __name__ == "__main__":
    main()
