"""Long files of short clips joined with silences, to test a variable bitrate.

python -m benchmarks.joined_clips valid JOINED
soundstream eval JOINED --codecs light:3000,light-vbr:3000,light:6000,light-vbr:6000 -o report
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from soundstream import audio
from soundstream.arrays import Array
from soundstream.evaluate import clips

SAMPLE_RATE = 24_000
SILENCES_S = (0.5, 3.0)
"""Shortest and longest silence behind a clip."""


def join(sounds: Sequence[Array], seed: int) -> Array:
    """Clips `[samples]` at SAMPLE_RATE one after another, each with silence behind it."""
    rng = np.random.default_rng(seed)
    silences = (np.zeros(int(rng.uniform(*SILENCES_S) * SAMPLE_RATE), np.float32) for _ in sounds)
    return np.concatenate([part for pair in zip(sounds, silences, strict=True) for part in pair])


def write(folder: Path, output: Path, count: int = 6) -> list[Path]:
    """A FLAC file of each `count` clips, which take turns in class, below output/joined/.

    Raises:
        AudioError, ConfigError: a clip cannot be read, or there is none.
    """
    found = clips.find(folder)
    by_class = [[c for c in found if c.content_class == name] for name in dict.fromkeys(c.content_class for c in found)]
    mixed = [clip for row in zip(*by_class, strict=False) for clip in row]
    (output / "joined").mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(math.ceil(len(mixed) / count)):
        group = mixed[i * count : (i + 1) * count]
        paths.append(output / "joined" / f"{i:02}.flac")
        soundfile.write(paths[-1], join([_read(clip) for clip in group], i), SAMPLE_RATE)
    return paths


def _read(clip: clips.Clip) -> Array:
    pcm, sample_rate = clips.read(clip)
    return audio.resample(pcm[None], sample_rate, SAMPLE_RATE)[0]


def main() -> None:
    """Write the files of a folder of clips."""
    parser = argparse.ArgumentParser(description="Join clips to long files.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    print(f"{len(write(args.folder, args.output))} files")


if __name__ == "__main__":
    main()
