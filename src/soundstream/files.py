"""Files that come in, or are there whole or not at all."""

from __future__ import annotations

import errno
import secrets
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from soundstream.errors import AudioError, OutputError

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def open_input(path: str | PathLike[str]) -> AbstractContextManager[BinaryIO]:
    """Open a file for reading; "-" is stdin, which stays open.

    Raises:
        AudioError: the file cannot be read.
    """
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise AudioError(f"cannot read {path}: {error.strerror}") from error


@contextmanager
def atomic_output(path: str | PathLike[str], force: bool = False) -> Iterator[BinaryIO]:
    """Open a new file beside `path` for writing; it takes that name on success and is removed on failure.

    Args:
        force: replace a file that exists already.
    Raises:
        OutputError: the file exists already, is no regular file, or cannot be written.
    """
    target = Path(path).resolve()
    _check_free(path, target, force)
    partial = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(target)
    except OSError as error:
        if error.errno in _DISK_FULL or error.filename == str(partial):
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def _check_free(path: str | PathLike[str], target: Path, force: bool) -> None:
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {path}: the folder {target.parent} does not exist")
    if target.exists() and not target.is_file():
        raise OutputError(f"cannot write {path}: it is a folder or a device; name a file")
    if target.exists() and not force:
        raise OutputError(f"{path} exists already; choose another name or replace it with --force")
