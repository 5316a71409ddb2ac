"""Which networks deserve the next GPU: python -m benchmarks.compare_networks RUN... --clips CLIPS -o networks.json

Each RUN is the folder of a run of one of the files in benchmarks/networks, trained with `soundstream train ...
--time-limit SECONDS --threads 1` and so cooled down. Its averaged weights code speech in PyTorch, with some codebooks
and without the quantizer: quality, harmonics, and how far the level of a band is off.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.effort import excerpt
from soundstream.arrays import Array
from soundstream.evaluate import clips
from soundstream.evaluate.metrics import measure, select
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.nn.model import SoundStream
from soundstream.train import checkpoint
from soundstream.train.losses.perceptual import LevelLoss

METRICS = ("pesq", "stoi", "log-mel", "harmonics-low", "harmonics-middle")
COUNTS = (4, 8, 16, None)
"""Codebooks in use; None is without the quantizer."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--clips", type=Path, required=True, help="a folder with speech/")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=12, help="most clips")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    chosen = [clip for clip in clips.find(args.clips, args.limit) if clip.content_class == "speech"]
    rows = [row for run in args.runs for row in rows_of(run, chosen)]
    about = provenance("", f"{len(chosen)} clips of speech, at most 6 s of each")
    write_report(args.output, about | {"rows": rows})


def rows_of(run: Path, chosen: Sequence[clips.Clip]) -> Iterator[dict[str, Any]]:
    """One row for each number of codebooks."""
    state, model = checkpoint.load(run / "checkpoint"), checkpoint.load_model(run / "checkpoint").eval()
    sounds = [excerpt(clip, state.codec.sample_rate) for clip in chosen]
    settings = state.settings
    about = {"run": run.name, "steps": state.step, "seconds": settings["time_limit_s"], "seed": settings["seed"]}
    for count in COUNTS:
        pairs = [(sound, decoded(model, sound, count)) for sound in sounds]
        yield about | {"codebooks": count or "not quantized"} | figures(pairs, state.codec.sample_rate)


def decoded(model: SoundStream, sound: Array, count: int | None) -> Array:
    """Sound after encoder, quantizer and decoder `[samples]`, in step with what went in."""
    late, hop = model.config.delay_samples, model.config.hop_length
    whole = len(sound) + late + -(len(sound) + late) % hop
    audio = torch.from_numpy(np.pad(sound, (0, whole - len(sound))))[None, None]
    counts = None if count is None else torch.tensor([count])
    return model(audio, counts).audio[0, 0, late : late + len(sound)].numpy()


def figures(pairs: Sequence[tuple[Array, Array]], sample_rate: int) -> dict[str, Any]:
    """Means over the clips; `level_db` is the mean error of a band's level."""
    found: dict[str, Any] = {}
    for metric in select(METRICS):
        values = [measure(metric, a, b, sample_rate) for a, b in pairs]
        found[metric.name] = mean([value for value in values if value is not None])
    levels = LevelLoss(sample_rate)
    tensors = [[torch.from_numpy(np.ascontiguousarray(x))[None, None] for x in pair] for pair in pairs]
    found["level_db"] = mean([float(levels(a, b)) for a, b in tensors])
    return found


def mean(values: Sequence[float]) -> float | None:
    """To three places; None if there is no value."""
    return round(float(np.mean(values)), 3) if values else None


if __name__ == "__main__":
    main()
