import numpy as np
import pytest

from soundstream.train.data import made_noise as kinds
from soundstream.train.data.made_noise import made_noise


def test_noises_are_the_same_for_the_same_chance_differ_from_row_to_row_and_have_one_level():
    first, again = (made_noise(np.random.default_rng(3), 12, 4000, 8000) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (12, 4000) and first.dtype == np.float32
    np.testing.assert_allclose(np.sqrt(np.square(first).mean(1)), 0.1, rtol=1e-3)
    assert np.abs(np.corrcoef(first) - np.eye(12)).max() < 0.95
    assert made_noise(np.random.default_rng(3), 0, 4000, 8000).shape == (0, 4000)


def test_hum_stands_at_multiples_of_the_mains():
    signal = kinds._hum(np.random.default_rng(0), 8000, 8000)
    power = np.square(np.abs(np.fft.rfft(signal * np.hanning(8000))))
    near = np.zeros(len(power), bool)
    for step in (50, 60):
        for harmonic in range(step, 13 * step, step):
            near[harmonic - 2 : harmonic + 3] = True
    assert power[near].sum() > 0.7 * power.sum()


@pytest.mark.parametrize("seed", range(4))
def test_crackle_is_rare_and_gusts_swell(seed):
    crackle = np.abs(kinds._crackle(np.random.default_rng(seed), 8000, 8000))
    hiss = np.abs(kinds._hiss(np.random.default_rng(seed), 8000, 8000))
    assert np.square(crackle).max() / np.square(crackle).mean() > np.square(hiss).max() / np.square(hiss).mean()
    gusts = kinds._gusts(np.random.default_rng(seed), 32000, 8000)
    levels = 10 * np.log10(np.square(gusts.reshape(64, -1)).mean(1))
    assert levels.max() - levels.min() > 10
