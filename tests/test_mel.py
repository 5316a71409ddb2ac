import numpy as np
import pytest

from soundstream.analysis import mel

RATE = 24_000


def tone(frequency, amplitude=1.0, samples=RATE):
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(samples) / RATE)).astype(np.float32)


def noise(samples=RATE, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize("window", mel.WINDOWS)
def test_the_spectrum_of_a_full_scale_sine_peaks_at_1(window):
    sine = tone(RATE / window * 8, samples=window)
    spectrum = np.abs(np.fft.rfft(sine * mel.window_function(window)))
    assert spectrum.argmax() == 8
    assert spectrum[8] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("window", mel.WINDOWS)
def test_every_filter_holds_a_frequency_and_none_is_above_1(window):
    filters = mel.filterbank(window, RATE)
    assert filters.shape[1] == window // 2 + 1
    assert filters.shape[0] <= mel.BINS
    assert (filters.max(1) > 0).all()
    assert filters.min() >= 0
    assert filters.max() <= 1


def test_the_longest_window_has_all_bins():
    assert len(mel.filterbank(2048, RATE)) == mel.BINS


def test_neighbouring_filters_share_each_frequency_between_them():
    filters = mel.filterbank(2048, RATE)
    centres = filters.argmax(1)
    np.testing.assert_allclose(filters[:, centres[0] + 1 : centres[-1]].sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("window", mel.WINDOWS)
def test_the_hop_is_a_quarter_of_the_window(window):
    bins = len(mel.filterbank(window, RATE))
    assert mel.mel_spectrum(noise(2 * window), window, RATE).shape == (5, bins)


def test_a_signal_shorter_than_the_window_gives_one_frame():
    assert len(mel.mel_spectrum(noise(100), 2048, RATE)) == 1


def test_a_higher_tone_lies_in_a_higher_bin():
    loudest = [mel.mel_spectrum(tone(f), 1024, RATE).mean(0).argmax() for f in (200, 500, 1000, 4000, 10_000)]
    assert loudest == sorted(set(loudest))


def test_a_signal_is_at_distance_0_from_itself():
    assert mel.log_mel_distance(noise(), noise(), RATE) == 0


def test_distance_is_symmetric_and_grows_with_the_difference():
    reference, other = noise(), noise(seed=1)
    near = mel.log_mel_distance(reference, reference + 0.1 * other, RATE)
    far = mel.log_mel_distance(reference, reference + other, RATE)
    assert 0 < near < far
    assert mel.log_mel_distance(reference + other, reference, RATE) == pytest.approx(far)


def test_half_the_amplitude_is_at_distance_log_2():
    assert mel.log_mel_distance(noise(), 0.5 * noise(), RATE) == pytest.approx(np.log(2), rel=1e-2)


def test_what_lies_below_the_floor_is_not_compared():
    silence = np.zeros(RATE, np.float32)
    assert mel.log_mel_distance(silence, 1e-6 * noise(), RATE) == 0
