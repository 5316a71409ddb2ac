"""Where an artifact goes: a folder that is complete whenever it is there."""

from __future__ import annotations

import shutil
from pathlib import Path

from soundstream.errors import OutputError
from soundstream.runtime.artifact import load_artifact


def check_place(place: Path, force: bool = False) -> None:
    """Refuse a place that holds something else than an artifact; and without `force` one that holds one.

    Raises:
        OutputError: it does.
    """
    if not place.exists():
        return
    if not (place / "manifest.json").is_file():
        raise OutputError(f"{place} is no artifact; name another folder")
    if not force:
        raise OutputError(f"{place} holds a model already; replace it with --force")


def install(artifact: Path, place: Path) -> None:
    """Copy beside the place, then rename; what was there goes away only when the new one stands."""
    fresh, old = (place.with_name(place.name + suffix) for suffix in (".new", ".old"))
    for folder in (fresh, old):
        shutil.rmtree(folder, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(artifact, fresh)
    load_artifact(fresh)
    if place.exists():
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)
