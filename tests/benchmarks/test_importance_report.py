"""What the trial of importance learns by, and the counts it makes."""

import numpy as np
import torch

from benchmarks.importance import TRIED, error_at, relative_error, steady


def test_errors_lie_on_lines_between_the_counts_tried():
    errors = torch.tensor([[[float(count)] * 3 for count in TRIED]])
    found = error_at(errors, torch.tensor([[4.0, 11.5, 17.0]]))
    torch.testing.assert_close(found, torch.tensor([[4.0, 11.5, 17.0]]))


def test_equal_needs_gain_nothing_and_needs_of_what_falls_gain():
    falling = torch.tensor([[[1.0, 1.0], *[[1.0 / count, 1.0] for count in TRIED[1:]]]])
    assert relative_error(torch.ones(1, 2), falling, 6.0) == 1
    assert (
        relative_error(torch.tensor([[1.5, 1.0]]), falling, 6.0)
        < 1
        < relative_error(torch.tensor([[1.0, 1.5]]), falling, 6.0)
    )


def test_counts_change_seldom_and_stay_in_their_range():
    assert steady(np.array([5.2, 5.7, 4.6, 6.4, 6.0, 30.0, 1.0])).tolist() == [[5, 5, 5, 6, 6, 17, 4]]
