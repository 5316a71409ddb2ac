"""Artifacts are found by their id."""

import os
import shutil

import pytest

from soundstream.runtime.artifact import MODELS, load_artifact, shipped
from soundstream.runtime.models import VARIABLE, find_by_id, model_folders
from soundstream.runtime.released import RELEASED, describe


@pytest.fixture
def ids(tiny_artifact, other_artifact):
    return [load_artifact(folder).model_id for folder in (tiny_artifact, other_artifact)]


@pytest.fixture
def folder(tmp_path, tiny_artifact, other_artifact):
    """Two artifacts side by side, among other things."""
    shutil.copytree(tiny_artifact, tmp_path / "b")
    shutil.copytree(other_artifact, tmp_path / "c")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "manifest.json").write_text("{ damaged")
    (tmp_path / "notes.txt").write_text("nothing")
    return tmp_path


def test_an_artifact_is_found_among_others(folder, ids):
    assert find_by_id(ids[0], [folder]) == folder / "b"
    assert find_by_id(ids[1], [str(folder)]) == folder / "c"


def test_a_folder_may_be_the_artifact_itself(tiny_artifact, other_artifact, ids):
    assert find_by_id(ids[1], [tiny_artifact, other_artifact]) == other_artifact
    assert find_by_id(ids[1], [tiny_artifact]) is None


def test_the_first_folder_that_has_it_counts(folder, tiny_artifact, ids):
    assert find_by_id(ids[0], [tiny_artifact, folder]) == tiny_artifact
    assert find_by_id(ids[0], [folder, tiny_artifact]) == folder / "b"


def test_folders_that_are_missing_or_hold_none_are_passed_over(folder, ids, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    assert find_by_id(ids[0], [folder / "gone", empty, folder / "notes.txt"]) is None
    assert find_by_id(bytes(8), [folder]) is None
    assert find_by_id(ids[0], []) is None


@pytest.mark.parametrize("text", ["[]", "3", '{"files": {}}', '{"model_id": 7}'])
def test_a_foreign_manifest_is_passed_over(folder, ids, text):
    (folder / "a" / "manifest.json").write_text(text)
    assert find_by_id(ids[0], [folder]) == folder / "b"


def test_the_folders_of_the_environment_come_before_the_shipped_ones(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert model_folders() == [MODELS]
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(tmp_path / "one"), "", "two"]))
    assert [*map(str, model_folders())] == [str(tmp_path / "one"), "two", str(MODELS)]


def test_the_shipped_model_is_found():
    model_id = load_artifact("default").model_id
    found = find_by_id(model_id, model_folders())
    assert found and found.parent == MODELS and load_artifact(found).model_id == model_id


def test_a_model_that_shipped_once_is_named_and_any_other_is_its_number():
    assert describe(bytes.fromhex("c3f89d3687721975")) == "model c3f89d3687721975 (`light` of release 0.1.0)"
    assert describe(bytes(8)) == "model 0000000000000000"


def test_what_shipped_once_is_not_what_ships():
    assert not RELEASED.keys() & {load_artifact(name).model_id.hex() for name in shipped()}
