"""What a path says about its audio: category, source, and whether another file holds the same sound."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple


class Label(NamedTuple):
    """What kind of sound a file holds, and from whom or where."""

    category: str
    """Such as `speech`; empty for files that lie directly in an unknown data folder."""
    source: str
    """Speaker, instrument, recording or corpus whose files belong together."""


@dataclass(frozen=True)
class _Layout:
    name: str
    path: re.Pattern[str]
    """Searched in the absolute path; its group `source` names the source."""
    category: str


_LAYOUTS = (
    # LibriSpeech, LibriTTS: subset/speaker/chapter/*
    _Layout("librispeech", re.compile(r"/(train|dev|test)-(clean|other)[^/]*/(?P<source>\d+)/[^/]+/[^/]+$"), "speech"),
    # VCTK: wav48_silence_trimmed/speaker/*
    _Layout("vctk", re.compile(r"/wav48[^/]*/(?P<source>[ps]\d+)/[^/]+$"), "speech"),
    # MUSDB18-HQ: train/song/mixture.wav
    _Layout("musdb", re.compile(r"/(train|test)/(?P<source>[^/]+)/mixture\.wav$"), "music"),
    # FSD50K: one recording a file
    _Layout("fsd50k", re.compile(r"/FSD50K\.(dev|eval)_audio/(?P<source>[^/]+)\.wav$"), "ambient"),
    # noise of the DNS challenges: pieces of a recording are numbered
    _Layout("dns", re.compile(r"/(datasets/noise|noise_fullband)/(?P<source>.+?)(_\d+)?\.wav$"), "ambient"),
)
_SAME_SOUND = (
    (
        re.compile(r"/(train|test)/([^/]+)/(vocals|drums|bass|other|accompaniment)\.wav$"),
        r"/\1/\2/mixture.wav",
        "its mixture.wav is used",
    ),
    (re.compile(r"_mic2(\.\w+)$"), r"_mic1\1", "its first microphone, _mic1, is used"),
)
_TRAILING_NUMBER = re.compile(r"[-_ .]?\d+$")


def label(absolute: str, relative: str, category: str | None = None) -> Label:
    """Category and source of a file.

    The category is the one given; or that of a known corpus; or the first folder below the data folder.
    The source is the speaker or song of a known corpus; or the folder that the file lies in, below the category's; or,
    for a file directly in the category's folder, its name up to the trailing number: `rain` for `ambient/rain_03.wav`.

    Args:
        absolute: the file's whole path, with slashes, in which the folder names of known corpora are looked for.
        relative: its path below the data folder.
        category: of all files of this data folder, which then is the category's folder.
    """
    for layout in _LAYOUTS:
        if found := layout.path.search(absolute):
            return Label(category or layout.category, f"{layout.name}/{found['source']}")
    *folders, _ = PurePosixPath(relative).parts
    if category is None:
        category, folders = (folders[0], folders[1:]) if folders else ("", [])
    stem = PurePosixPath(relative).stem
    return Label(category, "/".join(folders) or _TRAILING_NUMBER.sub("", stem) or stem)


def same_sound(absolute: str, files: Collection[str]) -> str | None:
    """Why a file of a known corpus is not needed: another one of `files` holds the same sound; None if it is needed."""
    for pattern, replacement, reason in _SAME_SOUND:
        other = pattern.sub(replacement, absolute)
        if other != absolute and other in files:
            return reason
    return None
