"""The search for codes: greedy as published with one path, never worse with more, and the same in any chunks."""

import itertools

import numpy as np
import pytest

from soundstream.errors import ConfigError
from soundstream.runtime.factors import Factors
from soundstream.runtime.quantizer import MAX_EFFORT, Quantizer


def codebooks(number: int = 6, size: int = 16, dim: int = 8, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((number, size, dim)) * 0.7 ** np.arange(number)[:, None, None]).astype(np.float32)


def latents(frames: int = 40, dim: int = 8, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((dim, frames)).astype(np.float32)


def error(quantizer: Quantizer, vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.square(vectors - quantizer.decode(codes)).sum(-2)


def test_one_path_is_the_greedy_search():
    books, vectors = codebooks(), latents()
    residual, expected = vectors.T.copy(), []
    for book in books:
        expected.append(np.square(residual[:, None] - book).sum(-1).argmin(-1))
        residual = residual - book[expected[-1]]
    np.testing.assert_array_equal(Quantizer(books).encode(vectors, 6, effort=1), np.stack(expected))


def test_the_beam_with_one_path_is_the_greedy_search():
    quantizer, rows = Quantizer(codebooks()), latents().T.copy()
    np.testing.assert_array_equal(quantizer._search(rows, range(6), 1)[:, 0], quantizer._nearest(rows, range(6)))


def test_candidates_are_the_best_paths_and_the_first_is_what_is_coded():
    quantizer, vectors = Quantizer(codebooks()), latents()
    found = quantizer.candidates(vectors[None], 6, 5, 8)[0]
    np.testing.assert_array_equal(found[0], quantizer.encode(vectors, 6, 8))
    errors = np.stack([error(quantizer, vectors, codes) for codes in found])
    assert (np.diff(errors, axis=0) > -1e-5).all()
    assert len({path.tobytes() for path in np.moveaxis(found, 2, 0)[0]}) == 5


def test_there_are_as_many_candidates_even_where_there_are_fewer_entries():
    quantizer = Quantizer(codebooks(number=1, size=4))
    found = quantizer.candidates(latents()[None], 1, 6, 8)[0, :, 0]
    assert (np.sort(found[:4], axis=0) == np.arange(4)[:, None]).all()
    np.testing.assert_array_equal(found[4:], np.repeat(found[3:4], 2, axis=0))


def test_more_paths_find_smaller_errors():
    quantizer, vectors = Quantizer(codebooks()), latents(400)
    means = [error(quantizer, vectors, quantizer.encode(vectors, 6, k)).mean() for k in (1, 2, 4, 16)]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.9 * means[0]


def test_a_beam_as_wide_as_all_paths_finds_the_best_codes():
    quantizer, vectors = Quantizer(codebooks(number=3, size=4)), latents(30)
    every = np.array(list(itertools.product(range(4), repeat=3)))
    errors = np.stack([error(quantizer, vectors, np.repeat(codes[:, None], 30, axis=1)) for codes in every])
    np.testing.assert_array_equal(quantizer.encode(vectors, 3, 16), every[errors.argmin(0)].T)


def test_smaller_codebooks_have_only_their_own_entries():
    sizes, vectors = (16, 4, 8, 2), latents()
    books = codebooks(number=4)
    for book, size in zip(books, sizes, strict=True):
        book[size:] = 0.5 * book[:1]  # what would often be found
    quantizer, residual = Quantizer(books, Factors(sizes=sizes)), vectors.T.copy()
    for codes, book, size in zip(quantizer.encode(vectors, 4, effort=1), books, sizes, strict=True):
        np.testing.assert_array_equal(codes, np.square(residual[:, None] - book[:size]).sum(-1).argmin(-1))
        residual = residual - book[codes]
    assert (quantizer.encode(vectors, 4, effort=6).max(axis=1) < sizes).all()
    assert [book.shape for book in quantizer.codebooks] == [(size, 8) for size in sizes]


def test_codebooks_beside_levels_have_their_own_sizes_too():
    sizes, vectors = (16, 4, 16, 8), latents(dim=10)
    quantizer = Quantizer(codebooks(number=4, dim=10), Factors(sizes=sizes), levels=(2, 2))
    assert (quantizer.encode(vectors, 4).max(axis=1) < sizes).all()
    assert len(quantizer.codebooks[2]) == 16


@pytest.mark.parametrize("effort", [1, 3])
def test_large_codebooks_with_projections_take_the_room_of_their_entries(effort):
    sizes, rng = (1024, 64, 64, 64), np.random.default_rng(0)
    arrays = {"project_in": (4, 2, 8), "bias_in": (4, 2), "project_out": (4, 8, 2), "bias_out": (4, 8)}
    factors = Factors(sizes=sizes, **{name: rng.standard_normal(shape, np.float32) for name, shape in arrays.items()})
    quantizer = Quantizer(codebooks(number=4, size=1024, dim=2), factors)
    quantizer.encode(latents(), 4, effort)
    kept = {id(book): book.nbytes for part in vars(quantizer).values() if isinstance(part, list) for book in part}
    once = sum(sizes) * 8 * 4
    assert once <= sum(kept.values()) < (1 if effort == 1 else 2) * once * 1.5


def test_paths_that_are_alike_go_to_the_lower_index():
    books = np.repeat(codebooks(number=3, size=8), 2, axis=1)  # every entry twice, side by side
    assert not (Quantizer(books).encode(latents(), 3, 4) % 2).any()


@pytest.mark.parametrize("effort", [1, 3, 8])
def test_chunks_give_the_codes_of_the_whole(effort):
    quantizer, vectors = Quantizer(codebooks()), latents(50)
    parts = [quantizer.encode(vectors[:, a:b], 4, effort) for a, b in itertools.pairwise((0, 1, 2, 20, 50))]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), quantizer.encode(vectors, 4, effort))


def test_many_frames_are_searched_in_blocks(monkeypatch):
    quantizer, vectors = Quantizer(codebooks()), latents(50)
    whole = quantizer.encode(vectors, 6, 4)
    monkeypatch.setattr("soundstream.runtime.quantizer.MAX_SCORES", 200)
    np.testing.assert_array_equal(quantizer.encode(vectors, 6, 4), whole)


def test_signals_side_by_side_and_no_frames_at_all():
    quantizer, two = Quantizer(codebooks()), np.stack([latents(seed=2), latents(seed=3)])
    together = quantizer.encode(two, 5, 4)
    np.testing.assert_array_equal(together, [quantizer.encode(one, 5, 4) for one in two])
    assert quantizer.encode(two[..., :0], 5, 4).shape == (2, 5, 0)


@pytest.mark.parametrize("effort", [0, MAX_EFFORT + 1, 2.0, True, "4"])
def test_an_effort_that_cannot_be_is_refused(effort):
    with pytest.raises(ConfigError, match="expected a whole number from 1 to 64"):
        Quantizer(codebooks()).encode(latents(), 2, effort)
