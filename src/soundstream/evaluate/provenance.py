"""Where a figure comes from: every JSON in `docs/results` begins with this."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soundstream.system.files import atomic_output


def provenance(artifact: str, data: str) -> dict[str, str | None]:
    """Command, commit, model and data of a measurement that this process makes, and today's date.

    An absolute path says nothing elsewhere: the command has its last name alone.

    Args:
        artifact: the model id.
        data: what was coded, in words or as the path of a list.
    """
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *map(_portable, sys.argv[1:])]),
        "commit": _commit(),
        "artifact": artifact,
        "data": data,
        "date": datetime.now(UTC).date().isoformat(),
    }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write a measurement as JSON; an earlier one is replaced."""
    with atomic_output(path, force=True) as file:
        file.write(json.dumps(report, indent=1).encode() + b"\n")


def _portable(word: str) -> str:
    return Path(word).name if Path(word).is_absolute() else word


def _commit() -> str | None:
    """The commit of this file's checkout, with `-dirty` behind it if files were changed; None for an installed copy."""
    here = Path(__file__)
    if _git(here.parent, "ls-files", here.name) != here.name:
        return None
    return _git(here.parent, "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty")


def _git(folder: Path, *words: str) -> str | None:
    try:
        result = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None
