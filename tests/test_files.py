import errno
import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from soundstream.audio import open_writer, read
from soundstream.errors import InputError, OutputError
from soundstream.system.files import atomic_output, open_input, open_output


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_at_the_end(tmp_path):
    with atomic_output(tmp_path / "out.nac") as file:
        file.write(b"bytes")
        assert "out.nac" not in names(tmp_path)
    assert (tmp_path / "out.nac").read_bytes() == b"bytes"
    assert names(tmp_path) == ["out.nac"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_a_failure(tmp_path, error):
    with pytest.raises(error), atomic_output(tmp_path / "out.nac") as file:
        file.write(b"half")
        raise error
    assert names(tmp_path) == []


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.nac"
    path.write_bytes(b"old")
    with pytest.raises(ValueError), atomic_output(path, force=True) as file:
        file.write(b"half")
        raise ValueError
    assert path.read_bytes() == b"old"


def test_an_existing_file_is_kept_without_force(tmp_path):
    path = tmp_path / "out.nac"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"out\.nac exists already.*--force"), atomic_output(path):
        pass
    assert path.read_bytes() == b"old"


def test_force_replaces(tmp_path):
    path = tmp_path / "out.nac"
    path.write_bytes(b"old")
    with atomic_output(path, force=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_output(tmp_path / "link", force=True) as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_missing_folder_is_an_output_error(tmp_path):
    path = tmp_path / "missing" / "out.nac"
    with pytest.raises(OutputError, match="missing does not exist"), atomic_output(path):
        pass


@pytest.mark.parametrize("name", [".", "/dev/null"])
def test_a_folder_or_device_is_never_replaced(tmp_path, name):
    with pytest.raises(OutputError, match="folder or a device"), atomic_output(tmp_path / name, force=True):
        pass


def test_a_pipe_by_its_name_is_no_output():
    reading, writing = os.pipe()
    try:
        with pytest.raises(OutputError, match="a device; name a file, or - for stdout"):
            atomic_output(f"/dev/fd/{writing}").__enter__()
    finally:
        os.close(reading)
        os.close(writing)


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path, monkeypatch):
    def refuse(self, mode):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with (
        pytest.raises(OutputError, match=r"out\.nac: Permission denied"),
        atomic_output(tmp_path / "out.nac"),
    ):
        pass


def test_a_full_disk_is_an_output_error(tmp_path):
    path = tmp_path / "out.nac"
    with pytest.raises(OutputError, match="No space left"), atomic_output(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names(tmp_path) == []


def test_other_errors_of_the_caller_pass(tmp_path):
    with pytest.raises(BrokenPipeError), atomic_output(tmp_path / "out.nac"):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_what_appears_meanwhile_is_kept_without_force(tmp_path):
    path = tmp_path / "out.nac"
    with pytest.raises(OutputError, match=r"out\.nac exists already"), atomic_output(path) as file:
        file.write(b"new")
        path.write_bytes(b"of somebody else")
    assert path.read_bytes() == b"of somebody else" and names(tmp_path) == ["out.nac"]
    with atomic_output(path, force=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    def refuse(self, target):
        raise PermissionError(errno.EPERM, "Operation not permitted", str(self))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / "out.nac"
    with atomic_output(path) as file:
        file.write(b"new")
    with pytest.raises(OutputError, match="exists already"), atomic_output(tmp_path / "b.nac") as file:
        (tmp_path / "b.nac").write_bytes(b"of somebody else")
    assert path.read_bytes() == b"new" and names(tmp_path) == ["b.nac", "out.nac"]


@pytest.mark.parametrize("name", ["é" * 125 + ".nac", "日" * 83 + ".nac", "n" * 251 + ".nac"])
def test_the_longest_names_can_be_written(tmp_path, name):
    with atomic_output(tmp_path / name) as file:
        file.write(b"bytes")
    assert names(tmp_path) == [name]


def test_a_name_that_is_too_long_is_an_error_of_ours(tmp_path):
    with pytest.raises(OutputError, match="File name too long"), atomic_output(tmp_path / ("é" * 130)):
        pass
    with pytest.raises(InputError, match="File name too long"):
        open_input(tmp_path / ("é" * 130))
    with pytest.raises(InputError, match="cannot read a file without a name"):
        open_input("")


def test_a_disk_that_can_only_be_read_is_an_output_error(tmp_path, monkeypatch):
    def refuse(self, *words):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OutputError, match=r"out\.nac: Read-only file system"), atomic_output(tmp_path / "out.nac"):
        pass


def test_streams_that_are_closed_are_told_of(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(InputError, match="stdin is closed"):
        open_input("-")
    with pytest.raises(OutputError, match="stdout is closed"), open_output("-"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device stands for a full disk here")
def test_a_full_disk_behind_stdout_is_named(monkeypatch):
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=full, isatty=lambda: False))
        with pytest.raises(OutputError, match="cannot write stdout: No space left"), open_output("-") as stream:
            stream.write(b"bytes")
        with pytest.raises(OutputError, match="cannot write stdout: No space left"), open_writer("-", 8000, 1):
            pass


class Pipe(io.BytesIO):
    def seekable(self):
        return False


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device stands for a full disk here")
def test_a_full_folder_of_temporary_files_is_named_and_not_the_input(monkeypatch, codec):
    for place in "tempfile.TemporaryFile", "soundstream.codec.writing.TemporaryFile":
        monkeypatch.setattr(place, lambda: open("/dev/full", "w+b"))  # noqa: PTH123, SIM115
    with pytest.raises(OutputError, match=r"cannot keep what comes from a pipe in .*: No space left .* TMPDIR"):
        read(Pipe(b"RIFF" * 100_000))
    with pytest.raises(OutputError, match=r"cannot keep latents of a variable rate in .*: No space left .* TMPDIR"):
        codec.encode(np.zeros(240_000, np.float32), 24_000, vbr=True)


@pytest.mark.parametrize("path", [0, None, b"x.nac", io.BytesIO()])
def test_only_paths_are_opened(path):
    with pytest.raises(InputError, match=f"expected the path of a file, not {type(path).__name__}"):
        open_input(path)


def test_a_terminal_gets_no_bytes(monkeypatch):
    leader, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(OutputError, match="refusing to write bytes to the terminal"), open_output("-"):
            pass
    os.close(leader)
