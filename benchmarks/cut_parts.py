"""How long a part that was cut from a file differs from the whole, and whether parts joined are the whole.

python -m benchmarks.cut_parts examples/clips -o docs/results/cuts.json

A decoder starts a part afresh, and has to find what it would remember of the sound before.
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
NOT_HEARD = 1e-3
"""Of full scale; 60 dB below it."""
SAME = 2.0**-15
"""Steps of 16 bits."""


def part(codec: Codec, data: bytes, start_s: float, end_s: float | None = None) -> bytes:
    """A part of a file."""
    cut(codec, Reader(io.BytesIO(data)), out := io.BytesIO(), start_s, end_s)
    return out.getvalue()


def compare(codec: Codec, data: bytes, whole: np.ndarray) -> Iterator[dict[str, float]]:
    """For each part how much it differs at most, and how many seconds more than steps of 16 bits, or audibly."""
    rate = Reader(io.BytesIO(data)).header.sample_rate
    for start_s, end_s in PARTS_S:
        pcm, start = codec.decode(part(codec, data, start_s, end_s))[0], round(start_s * rate)
        error = np.abs(pcm - whole[:, start : start + pcm.shape[1]]).max(axis=0)
        yield {
            "start_s": start_s,
            "end_s": end_s,
            "largest": round(float(error.max()), 5),
            "heard_s": _last(error > NOT_HEARD) / rate,
            "differs_s": _last(error > SAME) / rate,
        }


def _last(where: np.ndarray) -> int:
    found = np.nonzero(where)[0]
    return int(found[-1]) + 1 if len(found) else 0


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
    words = parser.parse_args()
    codec, rows = load(), list[dict[str, Any]]()
    for clip in clips.find(words.folder):
        pcm, rate = audio.read(clip.path)
        data = codec.encode(pcm, rate, BITRATE)
        compared = list(compare(codec, data, codec.decode(data)[0]))
        rows.append({"clip": clip.name, "parts": compared, "joined": join(codec, data, 9, len(rows))})
    most = {name: max(p[name] for row in rows for p in row["parts"]) for name in ("largest", "heard_s", "differs_s")}
    facts = {"bitrate": BITRATE, "most": most, "rows": rows}
    write_report(words.output, provenance(codec.model_id.hex(), f"clips of {words.folder.name}") | facts)


if __name__ == "__main__":
    main()
