import numpy as np

from benchmarks import what_limits as limits

RATE = 24_000


def noise(seed, seconds=0.5):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def mended(name, decoded, original):
    cells = limits.mends(RATE)[name](limits.spectrum(decoded, RATE), limits.spectrum(original, RATE))
    return limits.sound_of(cells, len(decoded), RATE)


def test_to_the_spectrum_and_back_changes_nothing():
    np.testing.assert_allclose(mended("nothing", noise(0), noise(1)), noise(0), atol=1e-6)


def test_sound_with_every_band_replaced_is_the_original():
    cells, original = (limits.spectrum(noise(seed), RATE) for seed in (0, 1))
    for name in ("0-600 Hz", "600-1500 Hz", "1.5-4 kHz", "4-12 kHz"):
        cells = limits.mends(RATE)[name](cells, original)
    np.testing.assert_allclose(limits.sound_of(cells, len(noise(1)), RATE), noise(1), atol=1e-6)


def test_a_level_that_is_wrong_everywhere_is_put_right_and_told():
    original = noise(0)
    np.testing.assert_allclose(mended("levels", 0.5 * original, original), original, atol=1e-6)
    inner = slice(RATE // 10, -RATE // 10)
    slow = mended("levels over 40 ms", 0.5 * original, original)
    np.testing.assert_allclose(slow[inner], original[inner], atol=1e-6)
    half = mended("levels above 1.5 kHz", 0.5 * original, original)
    low = limits.spectrum(half, RATE)[:, : limits._bins(0, 1200, RATE).stop]
    np.testing.assert_allclose(low, limits.spectrum(0.5 * original, RATE)[:, : low.shape[1]], atol=0.05)


def test_levels_of_bands_that_are_too_low_are_told_by_band():
    rows = limits.level_rows(RATE, [(noise(0), 0.5 * noise(0))])
    assert [row["from_hz"] for row in rows] == list(limits.EDGES_HZ[:-1])
    np.testing.assert_allclose([row["too_low_db"] for row in rows], 6.02, atol=0.01)
    assert max(row["spread_db"] for row in rows) < 0.01
