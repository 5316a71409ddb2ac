import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from soundstream.vbr import allocate, errors


def test_errors_fall_to_what_the_codebooks_leave():
    rng = np.random.default_rng(0)
    codebooks = rng.normal(0, 1, (3, 16, 4)).astype(np.float32)
    codes = rng.integers(0, 16, (2, 3, 5))
    latents = sum(codebooks[q][codes[:, q]] for q in range(3)).transpose(0, 2, 1)
    found = errors(latents, codes, codebooks)
    assert found.shape == (3,) and found[2] < 1e-10 < found[1]
    np.testing.assert_allclose(
        found[0], np.square(latents - codebooks[0][codes[:, 0]].transpose(0, 2, 1)).mean(), rtol=1e-5
    )


@given(st.integers(1, 20), st.integers(0, 2**32 - 1), st.floats(1, 8))
def test_the_average_is_kept(packets, seed, average):
    rng = np.random.default_rng(seed)
    found = [np.sort(rng.exponential(10.0 ** rng.integers(-3, 3), 8))[::-1] for _ in range(packets)]
    frames = rng.integers(1, 150, packets).tolist()
    counts = allocate(found, frames, average)
    assert all(1 <= count <= 8 for count in counts)
    assert np.dot(counts, frames) <= average * sum(frames) + 1e-6


def test_silence_leaves_its_codebooks_to_sound():
    loud, silent = np.geomspace(1, 0.01, 8), np.full(8, 1e-9)
    assert allocate([loud, silent, loud, silent], [10] * 4, 4) == [7, 1, 7, 1]


def test_nothing_needs_nothing():
    assert allocate([], [], 4) == []
