"""Opening inputs; outputs that appear only when complete."""

from __future__ import annotations

import errno
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from soundstream.errors import CodecError, InputError, OutputError

FilePath = str | PathLike[str]
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def open_input(path: FilePath) -> AbstractContextManager[BinaryIO]:
    """Open a file for reading; "-" is stdin, which stays open.

    Raises:
        InputError: the file cannot be opened, or it is no path.
    """
    if path == "-":
        return nullcontext(stdin())
    if not isinstance(path, str | PathLike):  # open would take a number for a file of the host, and close it
        raise InputError(f"expected the path of a file, not {type(path).__name__}")
    try:
        return open(path, "rb")  # noqa: PTH123 - Path takes an empty name for the folder
    except OSError as error:
        raise InputError(f"cannot read {str(path) or 'a file without a name'}: {error.strerror}") from error


def stdin() -> BinaryIO:
    """The bytes that come in.

    Raises:
        InputError: stdin is closed.
    """
    if sys.stdin is None:
        raise InputError("stdin is closed; give the name of a file, or a pipe")
    return sys.stdin.buffer


def stdout() -> BinaryIO:
    """Where bytes go out.

    Raises:
        OutputError: stdout is closed or a terminal.
    """
    if sys.stdout is None:
        raise OutputError("stdout is closed; give -o FILE or a pipe")
    if sys.stdout.isatty():
        raise OutputError("refusing to write bytes to the terminal; give -o FILE or a pipe")
    return sys.stdout.buffer


@contextmanager
def named(name: str) -> Iterator[None]:
    """Put the name of the file that is read before messages of errors that do not hold it.

    Args:
        name: nothing is put before them if it is empty.
    """
    try:
        yield
    except CodecError as error:
        if not name or name in str(error) or isinstance(error, OutputError):
            raise
        raise type(error)(f"{name}: {error}") from error


@contextmanager
def reading(name: str) -> Iterator[None]:
    """`named`, where nothing but that file is read: what a disk refuses is an error of ours too.

    Raises:
        InputError: it does.
    """
    try:
        with named(name):
            yield
    except OSError as error:
        raise InputError(f"cannot read {name or 'the file'}: {error.strerror or error}") from error


def name_of(source: object) -> str:
    """What messages call a path or a stream; empty for bytes in memory."""
    if isinstance(source, str | PathLike):
        return "stdin" if source == "-" else str(source)
    name = getattr(source, "name", "")
    return "stdin" if name == "<stdin>" else name if isinstance(name, str) else ""


def check_not_input(output: FilePath, *sources: FilePath) -> None:
    """Refuse an output that is one of the inputs, by whatever name, even where an output may be replaced.

    Raises:
        OutputError: it is.
    """
    for source in sources:
        if output != "-" and source != "-" and _same(Path(output), Path(source)):
            raise OutputError(f"{output} is the input {source} itself, which is never replaced; choose another name")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


@contextmanager
def open_output(path: FilePath, force: bool = False) -> Iterator[BinaryIO]:
    """`atomic_output`, or stdout for "-".

    Raises:
        OutputError: as `atomic_output` and `stdout`.
    """
    if path != "-":
        with atomic_output(path, force) as file:
            yield file
        return
    with writing("stdout"):
        yield (stream := stdout())
        stream.flush()


def writing(name: str) -> AbstractContextManager[None]:
    """Name the output whose disk is full.

    Raises:
        OutputError: it is.
    """
    return _full_disk_is(f"cannot write {name}")


def keeping(name: str) -> AbstractContextManager[None]:
    """Name the folder of temporary files where its disk is full, while something is written there.

    Args:
        name: of what is kept.
    Raises:
        OutputError: it is.
    """
    advice = "make room there, or name another folder in the environment variable TMPDIR"
    return _full_disk_is(f"cannot keep {name} in {tempfile.gettempdir()}", advice)


@contextmanager
def _full_disk_is(what: str, advice: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise OutputError("; ".join(filter(None, [f"{what}: {error.strerror}", advice]))) from error
        raise


@contextmanager
def atomic_output(path: FilePath, force: bool = False) -> Iterator[BinaryIO]:
    """Open a new file beside `path` for writing; it takes that name on success and is removed on failure.

    Args:
        force: replace a file that exists already; without it one that appears meanwhile stays too.
    Raises:
        OutputError: the file exists already, is no regular file, or cannot be written.
    """
    try:
        target = Path(path).resolve()
        _check_free(path, target, force)
    except OSError as error:  # a name that is too long
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    partial = target.with_name(f".{_shortened(target.name)}.{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            yield file
        _take_name(path, partial, target, force)
    except OSError as error:
        if error.errno in _DISK_FULL or error.filename == str(partial):
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        raise
    finally:
        with suppress(OSError):
            partial.unlink()


def _shortened(name: str) -> str:
    """A name with room for more, since names have 255 bytes at most."""
    return os.fsencode(name)[:200].decode(errors="ignore")


def _take_name(path: FilePath, partial: Path, target: Path, force: bool) -> None:
    if not force:
        try:
            target.hardlink_to(partial)  # unlike a rename, it leaves what is there
            return
        except FileExistsError as error:
            raise _exists(path) from error
        except OSError:  # a file system without links
            _check_free(path, target, force)
    partial.replace(target)


def _exists(path: FilePath) -> OutputError:
    return OutputError(f"{path} exists already; choose another name or replace it with --force")


def _check_free(path: FilePath, target: Path, force: bool) -> None:
    if Path(path).exists() and not target.is_file():  # /dev/stdout may lead to a pipe, which is no path
        raise OutputError(f"cannot write {path}: it is a folder or a device; name a file, or - for stdout")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {path}: the folder {target.parent} does not exist")
    if target.exists() and not force:
        raise _exists(path)
