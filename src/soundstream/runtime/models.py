"""Artifacts found by model id: old files stay readable as long as their model lies in a known folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from soundstream.runtime.artifact import MODELS
from soundstream.runtime.released import RELEASED

VARIABLE = "SOUNDSTREAM_MODELS"
"""Environment variable with folders of artifacts, separated as in PATH."""


def model_folders() -> list[Path]:
    """Folders of artifacts: those that SOUNDSTREAM_MODELS names, then the one that ships with the package."""
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    return [*(Path(folder) for folder in named if folder), MODELS]


def find_by_id(model_id: bytes, folders: Iterable[str | Path]) -> Path | None:
    """The folder of the artifact with this id, or None.

    Only manifests are read here, and one that cannot be read is passed over: `load_artifact` verifies what is found.

    Args:
        model_id: 8 bytes, as a .nac file carries them.
        folders: each an artifact, or a folder that holds several side by side; the first match counts.
    """
    for folder in folders:
        for place in _artifacts(Path(folder)):
            if _id_of(place) == model_id.hex():
                return place
    return None


def name_of_model(model_id: bytes) -> str | None:
    """What a model is called: the name of its folder here, or which one of which release it was if it ever shipped."""
    folder = find_by_id(model_id, model_folders())
    return folder.name if folder else RELEASED.get(model_id.hex())


def _artifacts(folder: Path) -> Iterator[Path]:
    if (folder / "manifest.json").is_file():
        yield folder
    elif folder.is_dir():
        yield from sorted(place for place in folder.iterdir() if (place / "manifest.json").is_file())


def _id_of(artifact: Path) -> str | None:
    try:
        return json.loads((artifact / "manifest.json").read_text())["model_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
