"""Where tokens lie: a folder on a disk, or one behind fsspec, such as `s3://bucket/tokens`."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from soundstream.errors import ConfigError, OutputError
from soundstream.system.extras import extra, needs
from soundstream.system.files import FilePath, atomic_output


class Bytes(Protocol):
    """The bytes of a file, of which a part is read: `view[start:stop]`."""

    def __getitem__(self, part: slice) -> Any: ...


class Storage(Protocol):
    """A folder of files without folders in it."""

    def names(self) -> set[str]:
        """Files that are there, without hidden ones; none if the folder is not there."""

    def make(self) -> None:
        """Make the folder, if it is not there."""

    def read(self, name: str) -> bytes:
        """A whole file."""

    def view(self, name: str) -> Bytes:
        """A file of which parts will be read."""

    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A new file, which appears under its name when it is whole, in the place of an older one."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep other runs out, where the storage can."""


def storage(place: FilePath) -> Storage:
    """The storage that a path or a URL names."""
    return RemoteStorage(str(place)) if is_url(place) else LocalStorage(Path(place))


def write(place: Storage, name: str, data: bytes) -> None:
    """Write a whole file."""
    with place.write(name) as file:
        file.write(data)


def is_url(place: FilePath) -> bool:
    """Whether it names something by a scheme, which fsspec opens."""
    return "://" in str(place)


class LocalStorage:
    """A folder on a disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> set[str]:
        if not self._folder.exists():
            return set()
        return {path.name for path in self._folder.iterdir() if not path.name.startswith(".")}

    def make(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {self._folder}: {error.strerror}") from error

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def view(self, name: str) -> NDArray[np.uint8]:
        with (self._folder / name).open("rb") as file:
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)

    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        return atomic_output(self._folder / name, force=True)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder itself is locked; what a killed run left half written is removed.

        Raises:
            OutputError: another run writes there.
        """
        import fcntl
        import os

        folder = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in self._folder.glob(".*.part"):
                left.unlink()
            yield
        except BlockingIOError as error:
            raise OutputError(f"another run writes to {self._folder}; wait for it, or end it") from error
        finally:
            os.close(folder)


class RemoteStorage:
    """A folder that fsspec reaches."""

    def __init__(self, url: str) -> None:
        self._files, self._folder = filesystem(url)

    def _path(self, name: str) -> str:
        return f"{self._folder.rstrip('/')}/{name}"

    def names(self) -> set[str]:
        try:
            found = self._files.ls(self._folder, detail=False, refresh=True)
        except FileNotFoundError:
            return set()
        names = {str(path).rstrip("/").rsplit("/", 1)[-1] for path in found}
        return {name for name in names if not name.startswith(".")}

    def make(self) -> None:
        self._files.makedirs(self._folder, exist_ok=True)

    def read(self, name: str) -> bytes:
        return self._files.cat_file(self._path(name))

    def view(self, name: str) -> Bytes:
        return _RemoteBytes(self._files, self._path(name))

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        partial = self._path(f".{name}.part")
        try:
            with self._files.open(partial, "wb") as file:
                yield file
            self._files.mv(partial, self._path(name))
        except BaseException:
            with suppress(OSError):
                self._files.rm_file(partial)
            raise

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Stores of objects have no locks."""
        yield


class _RemoteBytes:
    def __init__(self, files: Any, path: str) -> None:
        self._files, self._path = files, path

    def __getitem__(self, part: slice) -> bytes:
        return self._files.cat_file(self._path, start=part.start, end=part.stop)


def filesystem(url: str) -> tuple[Any, str]:
    """What fsspec reaches a URL by, and the path there.

    Raises:
        CodecError: fsspec is not installed.
        ConfigError: what it needs for this scheme is not, or nobody knows the scheme.
    """
    with needs(extra("scale")):
        import fsspec
    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # a scheme without its package, or of nobody
        raise ConfigError(f"cannot reach {url}: {error}") from error
