import numpy as np
import pytest
from live_sounds import noise

from soundstream import audio
from soundstream.audio.live_resampling import LiveResampler

PAIRS = [
    (48_000, 24_000),
    (24_000, 48_000),
    (16_000, 24_000),
    (24_000, 8_000),
    (44_100, 24_000),
    (24_000, 44_100),
    (192_000, 24_000),
    (44_099, 24_000),
]


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_what_both_rates_hold_comes_out_as_of_the_resampler_of_files(from_rate, to_rate):
    shared = min(from_rate, to_rate)
    pcm = audio.resample(noise(shared * 3 // 8, channels=2), shared * 3 // 4, from_rate)  # up to 3/8 of the lower rate
    expected = audio.resample(pcm, from_rate, to_rate)
    resampler = LiveResampler(from_rate, to_rate, 2)
    found = np.concatenate([resampler.push(pcm), resampler.flush()], axis=1)
    assert found.shape == expected.shape
    inside = slice(to_rate // 20, -to_rate // 20)
    error = np.square(found - expected)[:, inside].mean() / np.square(expected)[:, inside].mean()
    assert 10 * np.log10(error) < -60


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_any_chunks_give_the_same_samples(from_rate, to_rate):
    pcm, rng, start = noise(from_rate // 4), np.random.default_rng(0), 0
    whole, pieces = LiveResampler(from_rate, to_rate, 1), LiveResampler(from_rate, to_rate, 1)
    parts = []
    while start < pcm.shape[1]:
        end = start + int(rng.integers(1, 2000))
        parts.append(pieces.push(pcm[:, start:end]))
        start = end
    expected = np.concatenate([whole.push(pcm), whole.flush()], axis=1)
    np.testing.assert_array_equal(np.concatenate([*parts, pieces.flush()], axis=1), expected)


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_samples_wait_as_long_as_stated(from_rate, to_rate):
    resampler, given, worst = LiveResampler(from_rate, to_rate, 1), 0, 0.0
    assert resampler.latency_ms <= 4.1
    for taken in range(1, from_rate // 10):
        given += resampler.push(np.zeros((1, 1), np.float32)).shape[1]
        worst = max(worst, 1000 * (taken / from_rate - given / to_rate))
    assert worst <= resampler.latency_ms + 1000 / from_rate


def test_frequencies_that_the_lower_rate_lacks_are_stopped():
    time = np.arange(48_000) / 48_000
    for hertz, least, most in ((10_000, -0.5, 0.1), (12_200, -200, -60), (20_000, -200, -60)):
        tone = np.sin(2 * np.pi * hertz * time, dtype=np.float64).astype(np.float32)[None]
        found = LiveResampler(48_000, 24_000, 1).push(tone)[0, 1000:-1000]
        level = 10 * np.log10(2 * np.square(found).mean() + 1e-20)
        assert least <= level <= most, hertz


def test_equal_rates_pass_through():
    resampler, pcm = LiveResampler(24_000, 24_000, 1), noise(100)
    np.testing.assert_array_equal(resampler.push(pcm), pcm)
    assert resampler.flush().shape == (1, 0)
    assert resampler.latency_ms == 0


def test_memory_stays_constant():
    resampler = LiveResampler(44_100, 24_000, 1)
    sizes = set()
    for _ in range(1000):
        resampler.push(noise(441))
        sizes.add(resampler._held.shape[1])
    assert max(sizes) < 200 and resampler._place < resampler._phases + resampler._step
