"""Means and paired differences against values worked out by hand."""

import pytest

from soundstream.evaluate.statistics import Mean, mean_of, paired_difference


def test_mean_and_standard_error() -> None:
    found = mean_of([1.0, 2.0, 3.0, 6.0])
    assert found is not None
    assert (found.mean, found.n) == (3.0, 4)
    assert found.standard_error == pytest.approx((14 / 3) ** 0.5 / 2)


def test_one_value_has_no_error_and_none_has_no_mean() -> None:
    assert mean_of([4.0]) == Mean(4.0, None, 1)
    assert mean_of([]) is None


def test_a_constant_difference_has_no_error_however_much_clips_differ() -> None:
    found = paired_difference({"a": 1.5, "b": 3.5, "c": 9.0}, {"a": 1.0, "b": 3.0, "d": 0.0})
    assert found == Mean(0.5, 0.0, 2)


def test_no_shared_clip_gives_no_difference() -> None:
    assert paired_difference({"a": 1.0}, {"b": 1.0}) is None
