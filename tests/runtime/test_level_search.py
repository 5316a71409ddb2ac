"""The search for codes of levels: one path at once, several some frames late."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from soundstream.arrays import Array
from soundstream.runtime.search.levels import DECIDED_FRAMES, LevelSearch

MEMORY, BANDS = 0.7, 3


def codebook(entries: int) -> Array:
    return np.random.default_rng(1).normal(0, 0.3, (entries, BANDS)).astype(np.float32)


def gains(frames: int) -> Array:
    steps = np.random.default_rng(2).normal(0, 0.2, (frames, BANDS)).astype(np.float32)
    for before, step in itertools.pairwise(steps):
        step += 0.8 * before
    return steps


def found(search: LevelSearch, wanted: Array, size: int) -> list[int]:
    parts = [search.push(wanted[i : i + size]) for i in range(0, len(wanted), size)]
    return [*itertools.chain.from_iterable(parts), *search.flush()]


def error(codes: list[int], wanted: Array, book: Array) -> float:
    total, squares = np.zeros(BANDS), 0.0
    for code, row in zip(codes, wanted, strict=True):
        total = MEMORY * total + book[code]
        squares += float(np.square(row - total).sum())
    return squares


def test_one_path_takes_the_nearest_entry_at_once():
    book, wanted = codebook(32), gains(20)
    search, total = LevelSearch(book, MEMORY, 1), np.zeros(BANDS)
    for row in wanted:
        (code,) = search.push(row[None])
        assert code == np.square(row - MEMORY * total - book).sum(1).argmin()
        total = MEMORY * total + book[code]
    assert search.flush() == []


def test_all_paths_find_the_best_of_all_ways():
    book, wanted = codebook(4), gains(6)
    best = min(itertools.product(range(4), repeat=6), key=lambda codes: error(list(codes), wanted, book))
    assert found(LevelSearch(book, MEMORY, 4**6), wanted, 6) == list(best)


def test_what_weighs_more_is_followed_more_closely():
    book, wanted = codebook(16), gains(20)
    weights = np.random.default_rng(3).uniform(0, 1, wanted.shape).astype(np.float32)
    search, total = LevelSearch(book, MEMORY, 1), np.zeros(BANDS)
    for row, weight in zip(wanted, weights, strict=True):
        (code,) = search.push(row[None], weight[None])
        assert code == (weight * np.square(row - MEMORY * total - book)).sum(1).argmin()
        total = MEMORY * total + book[code]


def test_equal_weights_change_nothing():
    book, wanted = codebook(64), gains(100)
    plain, weighed = LevelSearch(book, MEMORY, 8), LevelSearch(book, MEMORY, 8)
    assert plain.push(wanted) == weighed.push(wanted, np.ones_like(wanted)) and plain.flush() == weighed.flush()


def test_several_paths_follow_gains_better_than_one():
    book, wanted = codebook(64), gains(300)
    one, few, many = (error(found(LevelSearch(book, MEMORY, n), wanted, 300), wanted, book) for n in (1, 4, 16))
    assert many < few < 0.95 * one


@pytest.mark.parametrize("size", [1, 5, 64])
def test_pieces_of_any_length_give_the_codes_of_the_whole(size):
    book, wanted = codebook(64), gains(100)
    assert found(LevelSearch(book, MEMORY, 8), wanted, size) == found(LevelSearch(book, MEMORY, 8), wanted, 100)


def test_codes_come_late_by_a_bounded_number_of_frames():
    search, wanted = LevelSearch(codebook(64), MEMORY, 8), gains(100)
    for frame, row in enumerate(wanted):
        assert len(search.push(row[None])) == (frame >= DECIDED_FRAMES)
    assert len(search.flush()) == DECIDED_FRAMES
    assert len(search.push(wanted[: DECIDED_FRAMES + 1])) == 1


def test_what_was_said_fades_where_frames_have_no_code():
    book, wanted = codebook(64), gains(8)
    rested, fresh = LevelSearch(book, MEMORY, 1), LevelSearch(book, MEMORY, 1)
    first = rested.push(wanted[:1])[0]
    rested.fade(60)
    assert rested.push(wanted[1:]) == fresh.push(wanted[1:])
    assert first == np.square(wanted[0] - book).sum(1).argmin()
