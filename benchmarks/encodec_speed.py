"""Speed of EnCodec here and in `transformers`, both with the same random weights, in one run on one core.

python -m benchmarks.encodec_speed -o docs/results/encodec_speed.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import encodec_parity
from soundstream.codec import Codec
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.evaluate.speed.bench import speech_like
from soundstream.evaluate.speed.timing import TimedPart, cpu_seconds, single_thread
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import DecoderStream, EncoderStream

BITRATE = 6000
SECONDS = 10
ROUNDS = 5
ENCODE, DECODE = "encode", "decode"


def parts(theirs: Any, ours: Codec) -> Iterator[TimedPart]:
    """Both programs each way: the clip in one call, and ours frame by frame where it can."""
    spec = ours.spec
    pcm = np.repeat(speech_like(SECONDS, spec.sample_rate), spec.channels, axis=0)
    clip = torch.from_numpy(pcm)[None]
    coded = theirs.encode(clip, bandwidth=BITRATE / 1000)
    frames = spec.segments_of(pcm.shape[1]) if spec.segment_samples else [coded.audio_codes.shape[-1]]
    yield TimedPart("transformers", ENCODE, "offline", lambda: theirs.encode(clip, bandwidth=BITRATE / 1000))
    yield TimedPart("transformers", DECODE, "offline", lambda: encodec_parity.decoded(theirs, coded, frames))
    codes = ours.to_codes(pcm, spec.sample_rate, BITRATE, effort=1)[None]
    for mode, samples, count in (("offline", pcm.shape[1], codes.shape[2]), ("hops", spec.hop_length, 1)):
        if mode == "offline" or spec.is_causal:
            yield TimedPart("soundstream", ENCODE, mode, pushing(lambda: _encoder(ours), pcm, samples))
            yield TimedPart("soundstream", DECODE, mode, pushing(lambda: _decoder(ours), codes, count))


def pushing(start: Callable[[], Any], items: NDArray[Any], length: int) -> Callable[[], None]:
    """A function that begins anew, pushes the items, so many at once, and flushes."""

    def run() -> None:
        stream = start()
        for place in range(0, items.shape[-1], length):
            stream.push(items[..., place : place + length])
        stream.flush()

    return run


def _encoder(codec: Codec) -> EncoderStream:
    return EncoderStream(codec.model, codec.spec.channels, EncodeOptions(BITRATE, effort=1), wait=False)


def _decoder(codec: Codec) -> DecoderStream:
    return DecoderStream(codec.model, codec.spec.channels)


def rows(theirs: Any, ours: Codec) -> list[dict[str, Any]]:
    """Times real time of each part, and how many times as fast it is as the other program's."""
    found = list(parts(theirs, ours))
    spent = cpu_seconds([part.run for part in found], ROUNDS)
    slow = {part.part: seconds for part, seconds in zip(found[:2], spent[:2], strict=True)}
    return [
        {
            "model": f"{ours.spec.sample_rate // 1000}khz",
            "part": part.part,
            "mode": part.mode,
            "program": part.codec,
            "times_real_time": round(SECONDS / seconds, 1),
            "times_as_fast": round(slow[part.part] / seconds, 2),
        }
        for part, seconds in zip(found, spent, strict=True)
    ]


@torch.no_grad()
def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description="Time EnCodec beside the original.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found, ids = [], []
    for variant, settings in encodec_parity.VARIANTS.items():
        theirs = encodec_parity.original(**settings)
        with single_thread(), encodec_parity.imported(theirs, variant) as ours:
            found += rows(theirs, ours)
            ids.append(ours.model_id.hex())
    data = f"{SECONDS} s of generated speech-like sound at {BITRATE} bit/s; {encodec_parity.described()}"
    write_report(args.output, provenance(", ".join(ids), data) | {"rounds": ROUNDS, "rows": found})


if __name__ == "__main__":
    main()
