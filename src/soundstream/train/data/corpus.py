"""Training audio: folders decoded once into one int16 array, and what became of every file."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from soundstream import audio
from soundstream.errors import AudioError
from soundstream.system.files import atomic_output
from soundstream.train.data.corpora import Label, label, same_sound

Folders = str | Path | Sequence[str | Path]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Clip:
    """Where a file's samples lie in the corpus."""

    path: str
    """Relative to the data folder, such as `speech/anna_01.flac`."""
    category: str
    """Such as `speech`; see `soundstream.train.data.corpora.label`."""
    source: str
    """Speaker, instrument or recording, such as `anna`."""
    start: int
    """First sample in `Corpus.pcm`."""
    samples: int
    """Length."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Decoded clips, one after another in one array, and what became of every other file."""

    sample_rate: int
    pcm: NDArray[np.int16]
    """Mono `[samples]`, all clips end to end; may be mapped from a cache file."""
    clips: tuple[Clip, ...]
    refused: dict[str, str] = field(default_factory=dict)
    """Reason by path, for audio files that are not used."""
    ignored: dict[str, int] = field(default_factory=dict)
    """Count of files that are no audio by suffix, or `hidden`."""

    @classmethod
    def of(cls, sample_rate: int, clips: Mapping[str, NDArray[np.int16]]) -> Corpus:
        """A corpus of samples at hand, by path; the path says category and source."""
        labels = {path: label(path, path) for path in clips}
        lengths = {path: len(pcm) for path, pcm in clips.items()}
        return cls(sample_rate, np.concatenate(list(clips.values())), _clips(lengths, labels))

    def read(self, clip: Clip) -> NDArray[np.int16]:
        """The samples of a clip, `[samples]`."""
        return self.pcm[clip.start : clip.start + clip.samples]

    def categories(self) -> dict[str, list[Clip]]:
        """Clips by category."""
        found: dict[str, list[Clip]] = defaultdict(list)
        for clip in self.clips:
            found[clip.category].append(clip)
        return dict(found)

    def report(self) -> str:
        """Files, sources and hours by category; what was refused, by reason; what else lay in the folders."""
        lines = []
        for category, clips in self.categories().items():
            hours = sum(clip.samples for clip in clips) / self.sample_rate / 3600
            sources = len({clip.source for clip in clips})
            lines.append(f"{category or 'audio'}: {len(clips)} files of {sources} sources, {hours:.2f} h")
        by_reason = defaultdict(list)
        for path, reason in self.refused.items():
            by_reason[reason].append(path)
        for reason, paths in by_reason.items():
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            lines.append(f"refused {paths[0]}{more}: {reason}")
        return "\n".join(lines + [f"no audio: {count} files {kind}" for kind, count in self.ignored.items()])


def load_corpus(
    folders: Folders,
    sample_rate: int,
    cache: Path | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Corpus:
    """Decode every audio file below the data folders to mono int16 at `sample_rate`.

    Category and source of a file come from its path (`soundstream.train.data.corpora.label`).

    Args:
        folders: one data folder or several; `speech=/data/LibriTTS` names the category of all its files.
        cache: .npy file that keeps the decoded samples for the next run, a .json of the same name beside it; used
            again while the audio files have the same names, sizes and times, and mapped rather than read.
        progress: called with files done and files in all.
        workers: threads that decode; by default one a core, at most 16.
    Raises:
        AudioError: a folder does not exist or lies in another one, or no usable audio was found.
    """
    found = scan(folders)
    decoded = _read_cache(cache, sample_rate, found) if cache else None
    if decoded is None:
        results = _decode_all(found.files, sample_rate, workers or min(16, os.cpu_count() or 1), progress)
        decoded = _kept(results, sample_rate, found, cache)
    if not decoded.lengths:
        raise AudioError(_nothing_found(folders, decoded.refused))
    return decoded.corpus(sample_rate, found)


def extended(corpus: Corpus, found: Scan, fresh: Collection[str], cache: Path | None, workers: int) -> Corpus:
    """What `load_corpus` would give anew, where only some files have to be decoded.

    Args:
        corpus: what was loaded before.
        found: all files that the corpus shall have.
        fresh: names of those files that it does not have, or that have changed.
        cache: as for `load_corpus`; it is replaced.
        workers: threads that decode.
    """
    clips = {clip.path: clip for clip in corpus.clips}
    files = {name: path for name, path in found.files.items() if name in fresh}

    def results() -> Results:
        decoded = iter(_decode_all(files, corpus.sample_rate, max(1, workers), None))
        for name in found.files:
            if name in files:
                yield next(decoded)
            else:
                yield name, corpus.read(clips[name]) if name in clips else AudioError(corpus.refused[name])

    return _kept(results(), corpus.sample_rate, found, cache).corpus(corpus.sample_rate, found)


class FixedClips(NamedTuple):
    """Clips that are the same for the same corpus."""

    audio: Float[Tensor, "batch 1 samples"]
    categories: list[str]
    """Of each clip."""


def fixed_clips(corpus: Corpus, seconds: float, per_category: int) -> FixedClips:
    """The middle of some clips of each category, for validation: the same ones for the same corpus.

    Raises:
        AudioError: no clip is long enough.
    """
    length = int(seconds * corpus.sample_rate)
    chosen, categories = [], []
    for category, clips in corpus.categories().items():
        long_enough = [clip for clip in clips if clip.samples >= length]
        for i in np.linspace(0, len(long_enough) - 1, min(per_category, len(long_enough))).astype(int):
            start = (long_enough[i].samples - length) // 2
            pcm = corpus.read(long_enough[i])[start : start + length]
            chosen.append(pcm.astype(np.float32) / 32768)
            categories.append(category)
    if not chosen:
        raise AudioError(f"no clip of the validation data is {seconds} s long; give it longer files")
    return FixedClips(torch.from_numpy(np.stack(chosen)[:, None]), categories)


def _clips(lengths: Mapping[str, int], labels: Mapping[str, Label]) -> tuple[Clip, ...]:
    starts = np.cumsum([0, *lengths.values()]).tolist()
    return tuple(Clip(p, *labels[p], start, n) for (p, n), start in zip(lengths.items(), starts[:-1], strict=True))


class _Root(NamedTuple):
    folder: Path
    category: str | None

    @classmethod
    def parse(cls, text: str) -> _Root:
        category, equals, folder = text.partition("=")
        named = bool(equals) and "/" not in category and not Path(text).exists()
        root = cls(Path(folder).absolute(), category) if named else cls(Path(text).absolute(), None)
        if not root.folder.is_dir():
            raise AudioError(f"{root.folder} is not a folder; name a folder of audio files, or category=FOLDER")
        return root


class Scan(NamedTuple):
    """What lies in the data folders."""

    files: dict[str, Path]
    """Audio files to decode, in the order of their names, which are relative to the folder that holds all roots."""
    labels: dict[str, Label]
    refused: dict[str, str]
    ignored: dict[str, int]

    def listing(self) -> dict[str, list[int]]:
        """Size and time by name."""
        stats = {name: path.stat() for name, path in self.files.items()}
        return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}

    def only(self, names: Collection[str]) -> Scan:
        """The same with some of its files."""
        return self._replace(files={name: path for name, path in self.files.items() if name in names})


def scan(folders: Folders) -> Scan:
    """Find the audio files below the data folders, as `load_corpus` takes them.

    Raises:
        AudioError: a folder does not exist or lies in another one.
    """
    roots = _roots(folders)
    _check_apart(roots)
    base = os.path.commonpath([root.folder for root in roots])
    found, ignored = [], Counter[str]()
    for root in roots:
        for path in _walk(root.folder):
            if kind := _no_audio(path.relative_to(root.folder)):
                ignored[kind] += 1
            else:
                found.append((path.relative_to(base).as_posix(), path, root))
    found.sort(key=lambda entry: entry[0])
    everything = {path.as_posix() for _, path, _ in found}
    refused = {name: reason for name, path, _ in found if (reason := same_sound(path.as_posix(), everything))}
    files = {name: path for name, path, _ in found if name not in refused}
    labels = {
        name: label(path.as_posix(), path.relative_to(root.folder).as_posix(), root.category)
        for name, path, root in found
    }
    return Scan(files, labels, refused, dict(sorted(ignored.items())))


def _roots(folders: Folders) -> list[_Root]:
    return [_Root.parse(str(folder)) for folder in ([folders] if isinstance(folders, str | Path) else folders)]


def _check_apart(roots: list[_Root]) -> None:
    for i, root in enumerate(roots):
        for other in roots[:i] + roots[i + 1 :]:
            if root.folder.is_relative_to(other.folder):
                raise AudioError(f"{root.folder} lies in {other.folder}; name each data folder once")


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, also behind links, each folder once."""
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(parent, name) for name in names)


def _no_audio(relative: Path) -> str | None:
    if any(part.startswith(".") for part in relative.parts):
        return "hidden"
    suffix = relative.suffix.lower()
    return None if suffix in audio.SUFFIXES else suffix or "without suffix"


def _nothing_found(folders: Folders, refused: dict[str, str]) -> str:
    places = ", ".join(str(root.folder) for root in _roots(folders))
    first = f"; the first of {len(refused)} refused: {next(iter(refused.values()))}" if refused else ""
    return f"no usable audio below {places}; expected files such as .wav, .flac or .opus{first}"


class _Decoded(NamedTuple):
    pcm: Callable[[], NDArray[np.int16]]
    """Gives the samples of all files that could be decoded; there must be one."""
    lengths: dict[str, int]
    refused: dict[str, str]

    def corpus(self, sample_rate: int, found: Scan) -> Corpus:
        clips = _clips(self.lengths, found.labels)
        return Corpus(sample_rate, self.pcm(), clips, found.refused | self.refused, found.ignored)


Results = Iterable[tuple[str, NDArray[np.int16] | AudioError]]


def _decode_all(files: dict[str, Path], sample_rate: int, workers: int, progress: Progress | None) -> Results:
    """Each file's samples, or why there are none, in the order of `files`; decoded on several threads."""

    def attempt(path: Path) -> NDArray[np.int16] | AudioError:
        try:
            return _decode(path, sample_rate)
        except AudioError as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        for done, (name, result) in enumerate(zip(files, pool.map(attempt, files.values()), strict=True), start=1):
            yield name, result
            if progress:
                progress(done, len(files))


def _decode(path: Path, sample_rate: int) -> NDArray[np.int16]:
    pcm, rate = audio.read(path)
    mono = audio.resample(pcm.mean(axis=0, keepdims=True), rate, sample_rate)[0]
    if not len(mono):
        raise AudioError("it holds no samples")
    return np.round(mono.clip(-1, 1) * 32767).astype(np.int16)


def _kept(results: Results, sample_rate: int, found: Scan, cache: Path | None) -> _Decoded:
    return _write_cache(cache, results, sample_rate, found) if cache else _in_memory(results)


def _in_memory(results: Results) -> _Decoded:
    parts: list[NDArray[np.int16]] = []
    lengths, refused = _consume(results, parts.append)
    return _Decoded(lambda: np.concatenate(parts), lengths, refused)


def _consume(results: Results, take: Callable[[NDArray[np.int16]], Any]) -> tuple[dict[str, int], dict[str, str]]:
    lengths, refused = {}, {}
    for name, result in results:
        if isinstance(result, AudioError):
            refused[name] = str(result)
        else:
            take(result)
            lengths[name] = len(result)
    return lengths, refused


def _write_cache(cache: Path, results: Results, sample_rate: int, found: Scan) -> _Decoded:
    """Write samples as they are decoded, so that no more than some files are in memory; the index comes last."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.with_suffix(".json").unlink(missing_ok=True)
    listing = found.listing()
    with atomic_output(cache, force=True) as file:
        _write_header(file, 0)
        lengths, refused = _consume(results, lambda pcm: file.write(pcm.astype("<i2").tobytes()))
        file.seek(0)
        _write_header(file, sum(lengths.values()))
    index = {"sample_rate": sample_rate, "listing": listing, "lengths": lengths, "refused": refused}
    with atomic_output(cache.with_suffix(".json"), force=True) as file:
        file.write(json.dumps(index).encode())
    return _Decoded(partial(_map, cache), lengths, refused)


def _write_header(file: Any, samples: int) -> None:
    """numpy leaves room for any length, so that the header can be written again."""
    npy.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": (samples,)})


def _read_cache(cache: Path, sample_rate: int, found: Scan) -> _Decoded | None:
    index_path = cache.with_suffix(".json")
    if not index_path.exists():
        return None
    index = json.loads(index_path.read_text())
    if (index["sample_rate"], index["listing"]) != (sample_rate, found.listing()):
        return None
    return _Decoded(partial(_map, cache), index["lengths"], index["refused"])


def _map(cache: Path) -> NDArray[np.int16]:
    """The samples of a cache file; changes stay in memory, since torch warns of arrays that cannot be changed."""
    return np.load(cache, mmap_mode="c", allow_pickle=False)
