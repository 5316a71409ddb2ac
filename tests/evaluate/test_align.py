"""The delay of a codec is found and undone."""

import numpy as np
import pytest

from soundstream.evaluate.align import align

RATE = 16_000


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize("delay", [0, 1, 312, 1600])
def test_a_late_signal_is_moved_back(delay: int) -> None:
    pcm = noise(8000)
    aligned, found = align(pcm, np.concatenate([np.zeros(delay, np.float32), pcm, noise(50)]), RATE)
    assert found == delay
    np.testing.assert_array_equal(aligned, pcm)


def test_an_early_signal_is_moved_on() -> None:
    pcm = noise(8000)
    aligned, found = align(pcm, pcm[400:], RATE)
    assert (found, len(aligned)) == (-400, 8000)
    np.testing.assert_array_equal(aligned[400:], pcm[400:])
    assert not aligned[:400].any()


@pytest.mark.parametrize("length", [1, 7000, 9000])
def test_the_length_becomes_that_of_the_original(length: int) -> None:
    assert len(align(noise(8000), noise(length), RATE)[0]) == 8000


def test_silence_is_left_where_it_is() -> None:
    assert align(noise(500), np.zeros(500, np.float32), RATE)[1] == 0


def test_a_louder_copy_out_of_reach_is_not_chosen() -> None:
    pcm = noise(8000)
    decoded = np.concatenate([pcm, 3 * pcm])
    assert align(pcm, decoded, RATE)[1] == 0
