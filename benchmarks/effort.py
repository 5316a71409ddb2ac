"""What a wider search for codes gains and costs: python -m benchmarks.effort CLIPS -o docs/results/effort.json

For each bit rate and number of paths: how near the quantized latents come, quality of the decoded speech, size of the
files, and time of the search alone in blocks and frame by frame. Pin the process to one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from soundstream import audio
from soundstream.arrays import Array
from soundstream.codec import Codec, load
from soundstream.evaluate import clips
from soundstream.evaluate.metrics import measure, select
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.evaluate.speed.timing import cpu_seconds, gflops, matrix_product
from soundstream.evaluate.statistics import mean_of, paired_difference
from soundstream.runtime.stream import LatentStream

EFFORTS = (1, 2, 4, 8, 16)
BITRATES = (3000, 6000, 12_000)
METRICS = ("pesq", "stoi", "visqol-speech", "log-mel")
EXCERPT_S = 6.0
HOPS = 150
"""Frames that are searched one by one for the time of a hop."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="a folder with speech/")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, default=12, help="most clips")
    args = parser.parse_args()
    codec = load(args.model)
    sounds = speech(args.clips, args.limit, codec.spec.sample_rate)
    rows = [row for bitrate in BITRATES for row in rows_of(codec, sounds, bitrate)]
    about = provenance(codec.model_id.hex(), f"{len(sounds)} clips of speech, {EXCERPT_S:g} s of each")
    product = matrix_product()
    speed = gflops(product.macs or 0, cpu_seconds([product.run], 5)[0])
    write_report(args.output, about | {"sgemm_gflops": round(speed, 1), "rows": rows})


def speech(folder: Path, limit: int, sample_rate: int) -> list[Array]:
    """The beginnings of so many clips of speech at most, spread over all that the folder has."""
    found = [clip for clip in clips.find(folder) if clip.content_class == "speech"]
    count = min(limit, len(found))
    return [excerpt(found[i * len(found) // count], sample_rate) for i in range(count)]


def excerpt(clip: clips.Clip, sample_rate: int) -> Array:
    """The beginning of a clip `[samples]` at the codec's rate."""
    pcm, rate = clips.read(clip)
    return audio.resample(pcm[None, : round(EXCERPT_S * rate)], rate, sample_rate)[0]


def rows_of(codec: Codec, sounds: Sequence[Array], bitrate: int) -> list[dict[str, Any]]:
    """A row for each effort at one bit rate; gains are over the greedy search, clip by clip."""
    measured = {effort: [one(codec, sound, bitrate, effort) for sound in sounds] for effort in EFFORTS}
    return [row(codec, sounds[0], bitrate, effort, measured) for effort in EFFORTS]


def one(codec: Codec, sound: Array, bitrate: int, effort: int) -> dict[str, float | None]:
    """All figures of one clip."""
    rate = codec.spec.sample_rate
    data = codec.encode(sound, rate, bitrate, effort=effort)
    decoded = codec.decode(data)[0][0]
    found = {metric.name: measure(metric, sound, decoded, rate) for metric in select(METRICS)}
    latents = LatentStream(codec.model, 1).push(sound[None])
    codes = codec.model.quantizer.encode(latents, codec.spec.quantizers_for(bitrate), effort)
    error = np.square(latents - codec.model.quantizer.decode(codes)).sum()
    snr_db = float(10 * np.log10(np.square(latents).sum() / error))
    return found | {"latent_snr_db": snr_db, "file_bitrate": 8 * len(data) * rate / len(sound)}


def row(
    codec: Codec, sound: Array, bitrate: int, effort: int, measured: dict[int, list[dict[str, float | None]]]
) -> dict[str, Any]:
    latents = LatentStream(codec.model, 1).push(sound[None])
    quantizers = codec.spec.quantizers_for(bitrate)
    frames = latents.shape[2]
    block_ms = searched_ms(codec, [latents], quantizers, effort) / frames
    hops = [latents[:, :, i % frames, None] for i in range(HOPS)]
    hop_ms = searched_ms(codec, hops, quantizers, effort) / HOPS
    found: dict[str, Any] = {"bitrate": bitrate, "effort": effort}
    for name in measured[effort][0]:
        values, greedy = ({str(i): clip[name] for i, clip in enumerate(measured[k])} for k in (effort, 1))
        present = {key: value for key, value in values.items() if value is not None}
        mean, gain = mean_of(list(present.values())), paired_difference(present, known(greedy))
        found |= {name: round(mean.mean, 4) if mean else None, f"{name}_gain": round(gain.mean, 4) if gain else None}
    return found | {"search_ms_per_frame": round(block_ms, 4), "search_ms_per_hop": round(hop_ms, 4)}


def known(values: dict[str, float | None]) -> dict[str, float]:
    return {key: value for key, value in values.items() if value is not None}


def searched_ms(codec: Codec, parts: Sequence[Array], quantizers: int, effort: int) -> float:
    """CPU time of the search, the least of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        for part in parts:
            codec.model.quantizer.encode(part, quantizers, effort)
        times.append(1000 * (time.process_time() - start))
    return min(times)


if __name__ == "__main__":
    main()
