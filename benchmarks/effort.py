"""What a wider search for codes gains and costs: python -m benchmarks.effort CLIPS -o docs/results/effort.json

For each class of sound, bit rate and effort: quality of the decoded sound and what it gains over the default effort,
clip by clip; size of the files; how many times as fast as the sound a core codes it. Live: what each effort gains over
a session's default, and the CPU time of a hop. Pin the process to one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from soundstream import audio
from soundstream.arrays import Array
from soundstream.codec import Codec, load
from soundstream.evaluate import clips
from soundstream.evaluate.metrics import measure, select
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.evaluate.speed.timing import cpu_seconds, gflops, matrix_product
from soundstream.evaluate.statistics import mean_of, paired_difference
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import EncoderStream

EXCERPT_S = 6.0


class Case(NamedTuple):
    """What is compared with one another; the gains are over the first effort."""

    content_class: str
    mode: str
    bitrates: tuple[int, ...]
    efforts: tuple[int, ...]
    metrics: tuple[str, ...]


SPEECH, OTHER = ("pesq", "stoi", "visqol-speech", "log-mel"), ("visqol-audio", "log-mel")
CASES = (
    Case("speech", "file", (3000, 6000, 12_000), (4, 1, 8, 16, 32, 64), SPEECH),
    Case("music", "file", (3000, 6000, 12_000), (4, 16), OTHER),
    Case("ambient", "file", (3000, 6000, 12_000), (4, 16), OTHER),
    Case("speech", "live", (3000, 6000), (1, 4, 8, 16), SPEECH),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="a folder with speech/, music/ and ambient/")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, default=8, help="most clips of a class")
    args = parser.parse_args()
    codec, rows = load(args.model), []
    for case in CASES:
        sounds = first_of(args.clips, case.content_class, args.limit, codec.spec.sample_rate)
        for bitrate in case.bitrates:
            rows += rows_of(codec, case, sounds, bitrate)
    about = provenance(codec.model_id.hex(), f"{args.limit} clips of a class, {EXCERPT_S:g} s of each")
    product = matrix_product()
    speed = gflops(product.macs or 0, cpu_seconds([product.run], 5)[0])
    write_report(args.output, about | {"sgemm_gflops": round(speed, 1), "rows": rows})


def first_of(folder: Path, content_class: str, limit: int, sample_rate: int) -> list[Array]:
    """The beginnings of so many clips of a class at most, spread over all that the folder has."""
    found = [clip for clip in clips.find(folder) if clip.content_class == content_class]
    count = min(limit, len(found))
    return [excerpt(found[i * len(found) // count], sample_rate) for i in range(count)]


def excerpt(clip: clips.Clip, sample_rate: int) -> Array:
    """The beginning of a clip `[samples]` at the codec's rate."""
    pcm, rate = clips.read(clip)
    return audio.resample(pcm[None, : round(EXCERPT_S * rate)], rate, sample_rate)[0]


def rows_of(codec: Codec, case: Case, sounds: Sequence[Array], bitrate: int) -> list[dict[str, Any]]:
    """A row for each effort at one bit rate."""
    coded = filed if case.mode == "file" else live
    measured = {}
    for effort in case.efforts:
        measured[effort] = [
            judged(case, codec.spec.sample_rate, sound, *coded(codec, sound, bitrate, effort)) for sound in sounds
        ]
    return [row(case, bitrate, effort, measured) for effort in sorted(case.efforts)]


def filed(codec: Codec, sound: Array, bitrate: int, effort: int) -> tuple[Array, dict[str, float]]:
    """Decoded sound, bit/s, and seconds of sound that are coded in one of the CPU."""
    rate, start = codec.spec.sample_rate, time.process_time()
    data = codec.encode(sound, rate, bitrate, effort=effort)
    spent, seconds = time.process_time() - start, len(sound) / rate
    return codec.decode(data)[0][0], {"file_bitrate": 8 * len(data) / seconds, "times_real_time": seconds / spent}


def live(codec: Codec, sound: Array, bitrate: int, effort: int) -> tuple[Array, dict[str, float]]:
    """Decoded sound, and CPU time of coding a hop."""
    stream = EncoderStream(codec.model, 1, EncodeOptions(bitrate, effort=effort), wait=False)
    hop, start = codec.spec.hop_length, time.process_time()
    parts = [stream.push(sound[None, i : i + hop]) for i in range(0, len(sound), hop)]
    hop_ms = 1000 * (time.process_time() - start) / len(parts)
    codes = np.concatenate([*parts, stream.flush()], axis=2)[0]
    return codec.from_codes(codes, num_samples=len(sound))[0], {"hop_ms": hop_ms}


def judged(
    case: Case, sample_rate: int, sound: Array, decoded: Array, figures: dict[str, float]
) -> dict[str, float | None]:
    """All figures of one clip."""
    return {one.name: measure(one, sound, decoded, sample_rate) for one in select(case.metrics)} | figures


def row(case: Case, bitrate: int, effort: int, measured: dict[int, list[dict[str, float | None]]]) -> dict[str, Any]:
    found: dict[str, Any] = {"class": case.content_class, "mode": case.mode, "bitrate": bitrate, "effort": effort}
    for name in measured[effort][0]:
        values, before = (
            known({str(i): clip[name] for i, clip in enumerate(measured[which])}) for which in (effort, case.efforts[0])
        )
        mean, gain = mean_of(list(values.values())), paired_difference(values, before)
        found[name] = round(mean.mean, 4) if mean else None
        if name in case.metrics:
            found[f"{name}_gain"] = round(gain.mean, 4) if gain else None
    return found


def known(values: dict[str, float | None]) -> dict[str, float]:
    return {key: value for key, value in values.items() if value is not None}


if __name__ == "__main__":
    main()
