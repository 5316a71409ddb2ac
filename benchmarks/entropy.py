"""What entropy coding saves: bits of each mode beside plain codes, zero-order entropy and an ideal coder.

    python -m benchmarks.entropy FOLDER -o docs/results/entropy.json

Each folder of audio in FOLDER is a content class.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adaptive_counts import adaptive_bits
from soundstream import audio
from soundstream.arrays import Array, Codes
from soundstream.bitstream.packet import OVERHEAD
from soundstream.codec import Codec, load, packet_frames
from soundstream.codec.packing import MODES
from soundstream.entropy import ContextCoder
from soundstream.entropy.bounds import TOTAL
from soundstream.evaluate.provenance import provenance, write_report

BITRATES = (1500, 3000, 6000, 12_000, 18_000)


@dataclass(frozen=True)
class Row:
    """One content class at one rate; all but names and counts in bit/s of a channel."""

    content_class: str
    bitrate: int
    """Plain codes."""
    seconds: float
    zero_order: int
    """Entropy of each codebook's own histogram over the class: what no coder without context can pass."""
    fast: int
    """Payloads with fixed frequencies."""
    adaptive: int
    """Information by counts that grow along the class, as if it were one file; see `adaptive_bits`."""
    mixed: int
    """The same with the context model."""
    ideal: int
    """The context model's information."""
    best: int
    """Payloads with the context model."""
    file: int
    """The same with heads and checksums of the packets that `codec.packet_frames` gives."""
    saved: float
    """Share of the plain codes' bits that a file saves, everything counted."""
    encode_times_real_time: float
    """The context coder alone, in CPU time on this machine, as files are written and read: packets side by side."""
    decode_times_real_time: float


def measure(codec: Codec, folder: Path, bitrates: Sequence[int] = BITRATES, limit: int | None = None) -> list[Row]:
    """Rows for each class of audio in a folder and for all of it.

    Args:
        limit: most files of a class, spread evenly over it; None is all.
    Raises:
        ConfigError: the model has no entropy tables, or a bit rate does not exist.
    """
    codec.coding.mode(MODES[-1], 1)
    classes = {place.name: _sounds(place, limit) for place in sorted(folder.iterdir()) if place.is_dir()}
    classes["all"] = [clip for clips in classes.values() for clip in clips]
    coded = ((name, rate, _codes(codec, sounds, rate)) for name, sounds in classes.items() for rate in bitrates)
    return [_row(codec, name, clips, bitrate) for name, bitrate, clips in coded if clips]


def _sounds(folder: Path, limit: int | None) -> list[tuple[Array, int]]:
    """The first channel of every file, and its sample rate in Hz."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio.SUFFIXES)
    step = -(-len(paths) // limit) if limit else 1
    return [(pcm[:1], sample_rate) for pcm, sample_rate in map(audio.read, paths[:: max(1, step)])]


def _codes(codec: Codec, sounds: Sequence[tuple[Array, int]], bitrate: int) -> list[Codes]:
    return [codec.to_codes(pcm, sample_rate, bitrate) for pcm, sample_rate in sounds]


def _row(codec: Codec, name: str, clips: list[Codes], bitrate: int) -> Row:
    header = codec.header(codec.spec.sample_rate, 1, bitrate, entropy=MODES[-1])
    length = packet_frames(header)
    parts = [clip[None, :, start : start + length] for clip in clips for start in range(0, clip.shape[1], length)]
    seconds = sum(clip.shape[1] for clip in clips) / codec.spec.frame_rate
    coder = codec.coding.coder(2)
    assert isinstance(coder, ContextCoder)
    start = time.process_time()
    packets = list(codec.coding.pack(parts, header.entropy_mode))
    encoded = time.process_time()
    found = list(codec.coding.unpack(packets, header))
    decoded = time.process_time()
    assert all((codes == part).all() for codes, part in zip(found, parts, strict=True))
    best = 8 * sum(len(packet.payload) for packet in packets)
    whole = best + 8 * OVERHEAD * len(parts)
    fast = 8 * sum(len(codec.coding.coder(1).encode(part)) for part in parts)
    ideal = sum(-np.log2(coder.widths(part) / TOTAL).sum() for part in parts)
    adaptive, mixed = adaptive_bits(parts, coder.tables, coder.model)
    zero_order = _zero_order(np.concatenate(clips, axis=1))
    return Row(
        content_class=name,
        bitrate=bitrate,
        seconds=round(seconds, 1),
        zero_order=round(zero_order / seconds),
        fast=round(fast / seconds),
        adaptive=round(adaptive / seconds),
        mixed=round(mixed / seconds),
        ideal=round(float(ideal) / seconds),
        best=round(best / seconds),
        file=round(whole / seconds),
        saved=round(1 - whole / seconds / bitrate, 4),
        encode_times_real_time=round(seconds / (encoded - start), 1),
        decode_times_real_time=round(seconds / (decoded - encoded), 1),
    )


def _zero_order(codes: Codes) -> float:
    """Bits of all codes `[num_quantizers, frames]` at the entropy of each row's own histogram."""
    total = 0.0
    for row in codes:
        counts = np.unique(row, return_counts=True)[1]
        total -= float((counts * np.log2(counts / len(row))).sum())
    return total


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description="Measure what entropy coding saves.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, help="most files of a class")
    args = parser.parse_args()
    codec = load(args.model)
    rows: list[dict[str, Any]] = [asdict(row) for row in measure(codec, args.folder, limit=args.limit)]
    data = f"{args.limit or 'all'} files of a class of {args.folder.name}/"
    report = provenance(codec.model_id.hex(), data) | {"rows": rows}
    write_report(args.output, report)


if __name__ == "__main__":
    main()
