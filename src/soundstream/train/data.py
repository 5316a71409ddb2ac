"""Training audio: a folder tree decoded once into int16 memory, and random crops of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from soundstream import audio
from soundstream.errors import AudioError
from soundstream.train.config import TrainConfig

SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".oga", ".mp3", ".aiff", ".aif"}
PEAK = 0.99
"""Crops are turned down, whatever their gain, until their peak is at most this."""


@dataclass(frozen=True)
class Corpus:
    """Decoded clips and what became of every file."""

    sample_rate: int
    clips: dict[str, NDArray[np.int16]]
    """Mono pcm `[samples]` by path relative to the data folder, such as `speech/anna.flac`."""
    refused: dict[str, str] = field(default_factory=dict)
    """Reason by path, for files that could not be used."""

    def categories(self) -> dict[str, list[str]]:
        """Paths by category, which is the first folder of the path."""
        found: dict[str, list[str]] = defaultdict(list)
        for path in self.clips:
            found[path.split("/")[0] if "/" in path else ""].append(path)
        return dict(found)

    def report(self) -> str:
        """Hours by category, and each refused file with its reason."""
        lines = []
        for category, paths in self.categories().items():
            hours = sum(len(self.clips[p]) for p in paths) / self.sample_rate / 3600
            lines.append(f"{category or 'audio'}: {len(paths)} files, {hours:.2f} h")
        return "\n".join(lines + [f"refused {path}: {reason}" for path, reason in self.refused.items()])


def load_corpus(
    folder: Path,
    sample_rate: int,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Corpus:
    """Decode every audio file below `folder` to mono int16 at `sample_rate`.

    Args:
        cache: file that keeps the decoded samples for the next run; used if its files have the same sizes and times.
        progress: called with files done and files in all.
    Raises:
        AudioError: no usable audio file was found.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    listing = {str(p.relative_to(folder)): [p.stat().st_size, p.stat().st_mtime_ns] for p in files}
    if cache and (corpus := _read_cache(cache, sample_rate, listing)):
        return corpus
    clips, refused = {}, {}
    for done, (path, name) in enumerate(zip(files, listing, strict=True), start=1):
        try:
            clips[name] = _decode(path, sample_rate)
        except AudioError as error:
            refused[name] = str(error)
        if progress:
            progress(done, len(files))
    if not clips:
        raise AudioError(f"no usable audio below {folder}; expected files such as .wav, .flac or .opus")
    corpus = Corpus(sample_rate, clips, refused)
    if cache:
        _write_cache(cache, corpus, listing)
    return corpus


def _decode(path: Path, sample_rate: int) -> NDArray[np.int16]:
    pcm, rate = audio.read(path)
    mono = audio.resample(pcm.mean(axis=0, keepdims=True), rate, sample_rate)[0]
    if not len(mono):
        raise AudioError("it holds no samples")
    return np.round(mono.clip(-1, 1) * 32767).astype(np.int16)


def _write_cache(cache: Path, corpus: Corpus, listing: dict[str, list[int]]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.save(cache, np.concatenate(list(corpus.clips.values())))
    lengths = {path: len(pcm) for path, pcm in corpus.clips.items()}
    index = {
        "sample_rate": corpus.sample_rate,
        "listing": listing,
        "lengths": lengths,
        "refused": corpus.refused,
    }
    cache.with_suffix(".json").write_text(json.dumps(index))


def _read_cache(cache: Path, sample_rate: int, listing: dict[str, list[int]]) -> Corpus | None:
    index_path = cache.with_suffix(".json")
    if not index_path.exists():
        return None
    index = json.loads(index_path.read_text())
    if (index["sample_rate"], index["listing"]) != (sample_rate, listing):
        return None
    pcm = np.load(cache, mmap_mode="r", allow_pickle=False)
    ends = np.cumsum(list(index["lengths"].values()))[:-1]
    return Corpus(sample_rate, dict(zip(index["lengths"], np.split(pcm, ends), strict=True)), index["refused"])


class Crops:
    """Random crops: a category by its weight, a file of it (all alike, however long), a place, a gain."""

    def __init__(self, corpus: Corpus, config: TrainConfig) -> None:
        self.corpus, self.config = corpus, config
        self.categories = corpus.categories()
        weights = np.array([config.category_weights.get(name, 1.0) for name in self.categories])
        self.weights = weights / weights.sum()
        self.length = config.crop_frames * config.codec.hop_length

    def draw(self, step: int) -> Float[Tensor, "batch 1 samples"]:
        """The batch of a step: always the same for the same step and seed."""
        rng = np.random.default_rng([self.config.seed, step])
        return torch.from_numpy(np.stack([self._crop(rng) for _ in range(self.config.batch_size)])[:, None])

    def _crop(self, rng: np.random.Generator) -> NDArray[np.float32]:
        category = list(self.categories)[rng.choice(len(self.weights), p=self.weights)]
        paths = self.categories[category]
        pcm = self.corpus.clips[paths[rng.integers(len(paths))]]
        start = rng.integers(max(1, len(pcm) - self.length + 1))
        crop = np.zeros(self.length, dtype=np.float32)
        part = pcm[start : start + self.length].astype(np.float32) / 32768
        crop[: len(part)] = part
        gain = 10 ** (rng.uniform(*self.config.gain_db) / 20)
        return np.asarray(crop * min(gain, PEAK / (np.abs(crop).max() + 1e-9)), dtype=np.float32)


def fixed_clips(corpus: Corpus, seconds: float, per_category: int) -> Float[Tensor, "batch 1 samples"]:
    """The middle of some clips of each category, for validation: the same ones for the same corpus.

    Raises:
        AudioError: no clip is long enough.
    """
    length = int(seconds * corpus.sample_rate)
    chosen = []
    for paths in corpus.categories().values():
        long_enough = [p for p in paths if len(corpus.clips[p]) >= length]
        for i in np.linspace(0, len(long_enough) - 1, min(per_category, len(long_enough))).astype(int):
            pcm = corpus.clips[long_enough[i]]
            start = (len(pcm) - length) // 2
            chosen.append(pcm[start : start + length].astype(np.float32) / 32768)
    if not chosen:
        raise AudioError(f"no clip of the validation data is {seconds} s long")
    return torch.from_numpy(np.stack(chosen)[:, None])
