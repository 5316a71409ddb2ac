"""What is to be tokenized: files in folders, lists of files, and manifests that name pieces of files."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from soundstream.audio.read import SUFFIXES
from soundstream.errors import ConfigError, InputError
from soundstream.system.files import FilePath, open_input
from soundstream.system.folders import absolute, files_in
from soundstream.tokens.storage import filesystem, is_url

MANIFESTS = frozenset({".jsonl", ".ndjson"})
"""Suffixes of files with a JSON object a line."""
LISTS = frozenset({".txt", ".lst"})
"""Suffixes of files with a path a line."""
_UNKNOWN_BYTES = 1 << 20
"""What a file counts for where nobody said its size."""


@dataclass(frozen=True)
class Source:
    """A file, or a piece of one."""

    path: str
    """From the root, or a URL."""
    start_s: float = 0.0
    end_s: float | None = None
    """None is the end of the file."""
    tags: dict[str, str] = field(default_factory=dict)
    """What a manifest says of it beside path and times."""
    bytes: int | None = None
    """Size of the file, of a piece its share: what it counts for when shards are filled. None is not known yet."""


@dataclass(frozen=True)
class Failure:
    """A source of which there are no tokens, or a line of a manifest that names none."""

    source: str
    reason: str
    start_s: float = 0.0

    def __str__(self) -> str:
        return self.reason if self.source in self.reason else f"{self.source}: {self.reason}"


@dataclass(frozen=True)
class Found:
    """Sources in the order of their tokens, and lines that are wrong."""

    sources: list[Source]
    wrong: list[Failure]


def find(data: Iterable[FilePath]) -> Found:
    """Find sources: each of `data` is a folder, a file of sound, a list (.txt), a manifest (.jsonl), or a URL of one.

    A line of a manifest is `{"path": ..., "start": seconds, "end": seconds, ...}`; times may be left out, or be given
    as `offset` and `duration`, and the path as `audio_filepath`. What else a line says becomes tags. Paths in lists
    are relative to the folder of the list.

    Raises:
        InputError: one of `data` is not there.
        ConfigError: there is no sound in them.
    """
    found: list[Source] = []
    wrong: list[Failure] = []
    for one in (data := [*data]):
        found += _in_url(str(one), wrong) if is_url(one) else _in_path(one, wrong)
    unique = {(source.path, source.start_s, source.end_s): source for source in found}
    if not unique:
        told = f"; {len(wrong)} lines are wrong, the first: {wrong[0].reason}" if wrong else ""
        raise ConfigError(f"there is no sound in {', '.join(map(printable, data))}{told}")
    return Found(_weighed(unique.values()), wrong)


def printable(path: FilePath) -> str:
    """A path as text that any program takes: bytes that are no UTF-8 are written as such as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _in_path(place: FilePath, wrong: list[Failure]) -> Iterator[Source]:
    if place == "-":
        raise ConfigError("stdin cannot be tokenized; give folders, files or a list of files")
    path = absolute(place)
    if path.is_dir():
        files = (str(file) for file, _ in files_in(path) if file.suffix.lower() in SUFFIXES)
        yield from map(Source, sorted(files))
    elif path.suffix.lower() in MANIFESTS | LISTS:
        with open_input(path) as file:
            yield from _listed(str(path), file.read(), wrong)
    elif path.exists():
        yield Source(str(path))
    else:
        raise InputError(f"cannot read {printable(place)}: No such file or directory")


def _in_url(url: str, wrong: list[Failure]) -> Iterator[Source]:
    files, place = filesystem(url)
    if PurePosixPath(place).suffix.lower() in MANIFESTS | LISTS:
        yield from _listed(url, files.cat_file(place), wrong)
        return
    if not files.exists(place):
        raise InputError(f"cannot read {url}: No such file or directory")
    for name, told in sorted(files.find(place, detail=True).items()):
        if PurePosixPath(name).suffix.lower() in SUFFIXES:
            yield Source(files.unstrip_protocol(name), bytes=told.get("size"))


def _listed(name: str, text: bytes, wrong: list[Failure]) -> Iterator[Source]:
    """Sources of a list or a manifest."""
    read = _line if Path(name).suffix.lower() in LISTS else _entry
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            source = read(line)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            said = f"no {error}" if isinstance(error, KeyError) else error
            wrong.append(Failure(printable(name), f"line {number}: {said}"))
            continue
        yield replace(source, path=_joined(name, source.path))


def _line(line: bytes) -> Source:
    return Source(os.fsdecode(line.strip()))


def _entry(line: bytes) -> Source:
    """A line of a manifest.

    Raises:
        ValueError, TypeError, KeyError: it is wrong.
    """
    told: dict[str, Any] = json.loads(line)
    if not isinstance(told, dict):
        raise ValueError(f"expected an object, not {type(told).__name__}")
    path = told.pop("audio_filepath") if "audio_filepath" in told else told.pop("path")
    start = _seconds(told.pop("offset", None), _seconds(told.pop("start", None), 0.0))
    end = _seconds(told.pop("end", None), None)
    if (length := _seconds(told.pop("duration", None), None)) is not None and end is None:
        end = (start or 0.0) + length
    if not isinstance(path, str) or not path:
        raise ValueError(f"path is {path!r}; expected text")
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"end {end} is not behind start {start}")
    tags = {name: value if isinstance(value, str) else json.dumps(value) for name, value in told.items()}
    return Source(path, start or 0.0, end, tags)


def _seconds(value: object, default: float | None) -> float | None:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} is no time in seconds")
    return float(value)


def _joined(name: str, path: str) -> str:
    """A path that a list names, seen from the folder of the list."""
    if is_url(path):
        return path
    if is_url(name):
        return path if path.startswith("/") else f"{name.rsplit('/', 1)[0]}/{path}"
    return str(absolute(Path(name).parent / path))


def _weighed(sources: Iterable[Source]) -> list[Source]:
    """With the sizes of files; pieces share that of theirs."""
    sources = [*sources]
    pieces = Counter(source.path for source in sources)
    sizes = {one.path: _size(one.path) if one.bytes is None else one.bytes for one in sources}
    return [replace(source, bytes=sizes[source.path] // pieces[source.path]) for source in sources]


def _size(path: str) -> int:
    if is_url(path):
        return _UNKNOWN_BYTES
    with suppress(OSError):
        return Path(path).stat().st_size
    return 0
