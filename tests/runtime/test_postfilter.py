import pickle

import numpy as np
import pytest

from soundstream.analysis.harmonics import harmonic_correlation
from soundstream.audio import soft_limit
from soundstream.codec import load
from soundstream.runtime import postfilter
from soundstream.runtime.pitch import PitchTracker
from soundstream.runtime.postfilter import PitchPostfilter
from soundstream.runtime.stream import DecoderStream

RATE, HOP = 24_000, 320
SECONDS = 1.2
SAMPLES = round(SECONDS * RATE) // HOP * HOP
TIME = np.arange(SAMPLES) / RATE


def hiss(seed=0, level=0.1):
    return np.random.default_rng(seed).standard_normal(SAMPLES).astype(np.float32) * level


def voice(pitch_hz, highest_hz=4000.0):
    harmonics = range(1, int(highest_hz / pitch_hz) + 1)
    phases = np.random.default_rng(1).uniform(0, 2 * np.pi, len(harmonics))
    waves = [np.cos(2 * np.pi * k * pitch_hz * TIME + p) / k for k, p in zip(harmonics, phases, strict=True)]
    return (0.15 * np.sum(waves, axis=0)).astype(np.float32)


def band(pcm, low, high):
    spectrum = np.fft.rfft(pcm)
    hz = np.fft.rfftfreq(len(pcm), 1 / RATE)
    return np.fft.irfft(spectrum * ((hz >= low) & (hz < high)), len(pcm)).astype(np.float32)


def filtered(pcm, channels=1):
    return PitchPostfilter(channels, RATE, HOP).push(np.reshape(pcm, (channels, -1)))


def level_db(pcm):
    return 10 * np.log10(np.mean(np.square(pcm[RATE // 4 :], dtype=np.float64)))


# pitch


@pytest.mark.parametrize("pitch_hz", [70.0, 101.3, 187.0, 240.0, 396.0])
def test_the_pitch_of_a_voice_is_found_to_a_hundredth(pitch_hz):
    periods, correlations = PitchTracker(1, RATE, HOP).push(voice(pitch_hz)[None])
    assert np.abs(periods[0, 10:] * pitch_hz / RATE - 1).max() < 0.01
    assert correlations[0, 10:].min() > 0.98


def test_hiss_has_no_pitch():
    assert PitchTracker(1, RATE, HOP).push(hiss()[None])[1].max() < 0.8


def test_pitch_does_not_depend_on_chunks():
    tracker, pcm = PitchTracker(1, RATE, HOP), voice(150.0)[None] + hiss(level=0.02)
    whole = PitchTracker(1, RATE, HOP).push(pcm)
    parts = [tracker.push(pcm[:, i : i + HOP]) for i in range(0, SAMPLES, HOP)]
    for together, apart in zip(whole, zip(*parts, strict=True), strict=True):
        assert np.array_equal(together, np.concatenate(apart, axis=1))


# the filter


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_sound_does_not_depend_on_chunks(frames):
    stream, pcm = PitchPostfilter(1, RATE, HOP), voice(150.0)[None] + hiss(level=0.02)
    parts = [stream.push(pcm[:, i : i + frames * HOP]) for i in range(0, SAMPLES, frames * HOP)]
    assert np.array_equal(np.concatenate(parts, axis=1), filtered(pcm))


def test_what_is_to_come_changes_nothing():
    pcm = voice(150.0)
    changed = pcm.copy()
    changed[50 * HOP :] = hiss()[50 * HOP :]
    before = slice(None, 50 * HOP)
    assert np.array_equal(filtered(pcm)[0, before], filtered(changed)[0, before])


@pytest.mark.parametrize("start", [1, 20, 33])
def test_after_its_memory_it_is_where_it_would_be(start):
    pcm = voice(70.0) + hiss(level=0.005)
    memory = PitchPostfilter(1, RATE, HOP).memory_frames * HOP
    assert 0.07 * RATE < memory < 0.12 * RATE
    late = filtered(pcm[start * HOP :])[0, memory:]
    assert np.array_equal(late, filtered(pcm)[0, start * HOP + memory :])
    assert not np.array_equal(late, pcm[start * HOP + memory :])


def test_channels_have_a_pitch_of_their_own():
    both = filtered(np.stack([voice(120.0), voice(310.0)]), channels=2)
    for channel, pitch in zip(both, (120.0, 310.0), strict=True):
        assert np.array_equal(channel, filtered(voice(pitch))[0])


def test_the_filters_are_designed_once(monkeypatch):
    PitchPostfilter(1, 24_000, 320)
    monkeypatch.setattr("soundstream.runtime.postfilter._linear_phase", None)
    PitchPostfilter(2, 24_000, 320)


def test_nothing_stays_nothing_and_no_frames_are_none():
    assert not filtered(np.zeros(SAMPLES, np.float32)).any()
    assert PitchPostfilter(2, RATE, HOP).push(np.zeros((2, 0), np.float32)).shape == (2, 0)


def test_hiss_stays_as_it_is():
    assert np.array_equal(filtered(hiss())[0], hiss())


def test_noise_between_low_harmonics_becomes_less():
    clean, noise = band(voice(130.0), 0, 1200), band(hiss(level=0.05), 0, 1200)
    error = filtered(clean + noise)[0] - clean
    assert level_db(error) < level_db(noise) - 1.2
    assert abs(level_db(filtered(clean)[0]) - level_db(clean)) < 0.1


def test_harmonics_are_made_of_the_noise_above_and_its_level_stays():
    original = voice(130.0)
    decoded = band(original, 0, 1300) + band(hiss(3, level=0.01), 5000, 12_000)
    for low, high in ((1300, 2000), (2000, 3000), (3000, 5000)):
        noise, loud = band(hiss(2), low, high), band(original, low, high)
        decoded += noise * loud.std() / noise.std()
    better = filtered(decoded)[0]
    before, after = (harmonic_correlation(original, pcm, RATE) for pcm in (decoded, better))
    assert after[1] > before[1] + 0.15
    for low, high in ((1500, 3000), (3000, 5000), (5000, 12_000)):
        assert abs(level_db(band(better, low, high)) - level_db(band(decoded, low, high))) < 0.8


# with a codec


@pytest.fixture(scope="module")
def codecs(tiny_artifact):
    return load(tiny_artifact), load(tiny_artifact, postfilter=False)


def pitched(codecs, monkeypatch):
    """Codes whose decoded sound has a pitch, whatever the little network makes of them."""
    monkeypatch.setattr(postfilter, "VOICED", (-1.0, 0.0))
    return codecs[0].to_codes(voice(150.0), RATE, effort=1)


def test_files_sessions_and_codes_pass_the_same_filter(codecs, monkeypatch):
    with_it, without = codecs
    codes = pitched(codecs, monkeypatch)
    plain, changed = (codec.from_codes(codes, RATE) for codec in (without, with_it))
    assert np.abs(plain - changed).max() > 0.001
    network = DecoderStream(without.model, 1).push(with_it.check_codes(codes))
    late = with_it.spec.delay_samples
    expected = soft_limit(PitchPostfilter(1, RATE, HOP).push(network)[:, late:])
    np.testing.assert_allclose(changed[:, : expected.shape[1]], expected, atol=1e-4)
    data = with_it.encode(voice(150.0), RATE, effort=1)
    np.testing.assert_allclose(with_it.decode(data)[0], changed[:, :SAMPLES], atol=1e-4)


def test_a_codec_without_it_is_another_one_and_stays_so_when_it_is_copied(codecs):
    with_it, without = codecs
    assert with_it is not without
    assert pickle.loads(pickle.dumps(without)) is without
