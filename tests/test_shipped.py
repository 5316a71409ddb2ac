"""What the shipped weights must never do, whatever they were trained on."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundstream.analysis.mel import log_mel_distance
from soundstream.audio import resample
from soundstream.codec import load
from soundstream.evaluate.probes.hard_sounds import hard_sounds
from soundstream.evaluate.probes.probes import click, coder, repetition, tone, white_noise
from soundstream.runtime.artifact import shipped
from soundstream.runtime.stream import DecoderStream

CLIPS = Path(__file__).parents[1] / "examples" / "clips"
RATE = 24_000
MOST_PEAK = 10
"""Before the limiter. Noise at full scale comes back with peaks of 4 to 7; a burst has peaks of thousands."""
HARD = ("beeps of 440", "beeps of 1,000", "beeps of 60", "constant", "white noise", "pulses at 100", "tone of 60 Hz")


@pytest.fixture(scope="module", params=shipped())
def model(request):
    return load(request.param)


@pytest.mark.parametrize("bitrate", [1500, 6000, 18_000])
def test_no_hard_sound_bursts(model, bitrate):
    code = coder(model, bitrate)
    peaks = {name: np.abs(code(sound)).max() for name, sound in hard_sounds(RATE) if name.startswith(HARD)}
    assert 1.0 < max(peaks.values()) < MOST_PEAK, max(peaks, key=peaks.get)  # above 1: nothing limited it


def test_codes_spliced_anywhere_do_not_burst(model):
    """As after lost packets, in joined files, and in what token models make."""
    rng = np.random.default_rng(0)
    clips = [soundfile.read(CLIPS / f"{name}.flac", dtype="float32") for name in ("speech", "music")]
    first, second = (model.to_codes(pcm[: 2 * rate].T, rate, bitrate=6000, effort=1) for pcm, rate in clips)
    frames = min(first.shape[-1], second.shape[-1])
    for share in (0.1, 0.5):
        spliced = np.where(rng.random(frames) < share, first[..., :frames], second[..., :frames])
        assert np.abs(DecoderStream(model.model, 1).push(spliced[None])).max() < MOST_PEAK


@pytest.mark.parametrize("bitrate", [3000, 6000])
def test_hiss_does_not_come_again_after_frames(bitrate):
    """It did, after three of them: lines 10 dB above the noise around them."""
    noise = coder(load("base"), bitrate)(white_noise(RATE))
    assert abs(repetition(noise, 320)) < 0.1


def test_a_click_keeps_its_sign():
    """Or else what is high and what is low of it cancel each other: a peak of 0.28."""
    assert np.abs(coder(load("base"), 3000)(click(RATE))).max() > 0.4


def test_listening_brings_decoded_sound_nearer(model):
    distances = {4: 0.0, 8: 0.0}
    for name in ("speech", "music", "ambient"):
        pcm, rate = soundfile.read(CLIPS / f"{name}.flac", dtype="float32", frames=2 * RATE, always_2d=True)
        pcm = resample(pcm.T[:1], rate, RATE)
        for effort in distances:
            decoded = model.from_codes(model.to_codes(pcm, RATE, 3000, effort=effort), num_samples=pcm.shape[1])[0]
            distances[effort] += log_mel_distance(pcm[0], decoded, RATE)
    assert distances[8] < distances[4]


@pytest.mark.parametrize("hertz, lost_db", [(250, 3), (400, 3), (800, 3), (1000, 3), (1250, 3), (1600, 6), (2000, 6)])
def test_listening_keeps_single_tones(hertz, lost_db):
    """Which noise beside them would outweigh, if all bins of a spectrum counted alike, or all levels of bands."""
    base, sound = load("base"), tone(hertz, RATE)
    decoded = base.from_codes(base.to_codes(sound, RATE, 3000, effort=8), num_samples=len(sound))[0]
    middle = slice(RATE // 4, -RATE // 8)
    assert 20 * np.log10(np.std(decoded[middle]) / np.std(sound[middle])) > -lost_db
