import numpy as np
import pytest

from soundstream.train.data.reverberation import GAP_S, room_spectra

RATE, LENGTH = 8000, 8000


def responses(rt60_s, direct_db, length=LENGTH):
    spectra = room_spectra(np.random.default_rng(0), np.array(rt60_s), np.array(direct_db), length, RATE)
    return np.fft.irfft(spectra, n=length)


def energy(response):
    return np.square(response).sum(axis=-1)


def test_a_room_is_a_direct_path_without_delay_then_a_gap_then_reflections_at_the_ratio_asked():
    rooms = responses([0.2, 0.4], [10.0, -3.0])
    np.testing.assert_allclose(energy(rooms), 1, rtol=1e-4)
    assert np.abs(rooms[:, 1 : round(GAP_S * RATE)]).max() < 1e-6
    ratios_db = 10 * np.log10(rooms[:, 0] ** 2 / energy(rooms[:, 1:]))
    np.testing.assert_allclose(ratios_db, [10, -3], atol=0.01)


@pytest.mark.parametrize("rt60_s", [0.1, 0.3, 0.6])
def test_reverberation_falls_by_60_db_in_the_time_asked(rt60_s):
    room = responses([rt60_s], [0.0])[0]
    begin, half = round(GAP_S * RATE), round(rt60_s * RATE / 2)
    window = round(0.02 * RATE)
    early, late = (energy(room[start : start + window]) for start in (begin, begin + half))
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=2.5)


def test_a_response_longer_than_a_crop_wraps_around():
    long, short = responses([0.5], [0.0])[0], responses([0.5], [0.0], length=1000)[0]
    folded = long.reshape(-1, 1000).sum(axis=0)
    assert np.corrcoef(short[1:], folded[1:])[0, 1] == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(energy(short), 1, rtol=1e-4)
