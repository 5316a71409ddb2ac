"""Tags: what audio files say of title, artist and the like; pictures are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import soundfile

TAGS = ("title", "artist", "album", "date", "tracknumber", "genre", "comment", "copyright", "license")
"""Names of the tags that are taken over from audio files and into them, in a .nac file too."""
_FFMPEG_NAMES = {"track": "tracknumber", "description": "comment", "year": "date"}


def file_tags(file: BinaryIO) -> dict[str, str]:
    """Tags of a seekable file that libsndfile knows; none of one that it cannot open."""
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            return chosen_tags(sound.copy_metadata())
    except (soundfile.SoundFileError, TypeError, ValueError):  # ValueError: text that is not UTF-8
        return {}


def chosen_tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """The tags in what a container says of itself, in FFmpeg's names or in ours."""
    tags: dict[str, str] = {}
    for name, value in metadata.items():
        name = _FFMPEG_NAMES.get(name.lower(), name.lower())
        if name in TAGS and value.strip():
            tags.setdefault(name, value)
    return {name: tags[name] for name in TAGS if name in tags}
