import errno

import pytest

from soundstream.errors import OutputError
from soundstream.system.files import atomic_output


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
