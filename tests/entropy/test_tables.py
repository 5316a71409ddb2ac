import dataclasses

import numpy as np
import pytest

import entropy_tables as made
from soundstream.entropy import Tables
from soundstream.errors import ArtifactError


def test_tables_come_back_from_their_file(tmp_path):
    tables = made.tables()
    tables.save(tmp_path / "entropy.npz")
    loaded = Tables.load(tmp_path / "entropy.npz")
    for field in dataclasses.fields(Tables):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(tables, field.name))


def test_the_same_tables_make_the_same_file(tmp_path):
    for name in ("a", "b"):
        made.tables().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("static", made.tables().static - 1),
        ("static", made.tables().static.astype(np.int64)),
        ("exponentials", made.tables().exponentials[::-1].copy()),
        ("exponentials", np.zeros(0, np.int32)),
        ("vector_shifts", np.full(made.QUANTIZERS, 40, np.int32)),
        ("hidden_weights", np.full_like(made.tables().hidden_weights, -128)),
        ("hidden_weights", made.tables().hidden_weights[0]),
        ("hidden_biases", np.full_like(made.tables().hidden_biases, 2**30)),
        ("hidden_shifts", np.full(made.QUANTIZERS, -1, np.int32)),
        ("output_weights", made.tables().output_weights.astype(np.float32)),
        ("output_biases", made.tables().output_biases[:, 1:]),
        ("output_shifts", made.tables().output_shifts[:-1]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tables_that_cannot_be_are_refused(name, value):
    with pytest.raises(ArtifactError, match="fit them anew"):
        made.tables(**{name: value})


def test_files_that_hold_no_tables_are_refused(tmp_path):
    path = tmp_path / "entropy.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="does not hold entropy tables"):
        Tables.load(path)
    np.savez(path, static=np.zeros(3))
    with pytest.raises(ArtifactError, match="of this release"):
        Tables.load(path)
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError):
        Tables.load(tmp_path / "pickle.npy")
