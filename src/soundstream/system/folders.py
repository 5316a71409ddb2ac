"""What lies in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def absolute(path: str | os.PathLike[str]) -> Path:
    """The same path from the root, with its links, and without `..`."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve would follow links


def files_in(folder: str | os.PathLike[str]) -> Iterator[tuple[Path, int]]:
    """Files of a folder and its folders, each with how many of its last names lie below the folder.

    In the order of their names. Links are followed, each folder is entered once; hidden files, pipes and devices are
    left out.
    """
    top = absolute(folder)
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(top, followlinks=True):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link back
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if not name.startswith(".") and (path.is_file() or not path.exists()):  # no pipes; a dead link is told of
                yield path, len(path.relative_to(top).parts)
