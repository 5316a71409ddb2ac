"""How long sound is on its way through the shipped models, packets included, if computing took no time."""

import numpy as np
import pytest

from soundstream import load
from soundstream.evaluate.align import find_delay
from soundstream.evaluate.speed.bench import speech_like


def measured_ms(encoder, decoder, pcm):
    """Longest time from a sample's coming, ten at once, to the coming of the sample that it is heard as."""
    rate = encoder.sample_rate
    heard, came = [], []
    for taken in range(10, pcm.shape[1] + 1, 10):
        for packet in encoder.push(pcm[:, taken - 10 : taken]):
            heard.append(decoder.push(packet))
            came += [taken] * heard[-1].shape[1]
    sound = np.concatenate(heard, axis=1)[0]
    late = find_delay(pcm[0, : len(sound)], sound, rate // 20)
    samples = np.arange(rate // 4, rate // 2)
    return 1000 * (np.array(came)[samples + late] - samples).max() / rate


@pytest.mark.parametrize(("name", "latency_ms"), [("base", 16.667), ("seanet", 13.333)])
@pytest.mark.parametrize("packet_frames", [1, 2])
def test_latency_is_as_stated(name, latency_ms, packet_frames):
    codec = load(name)
    encoder = codec.open_encoder(24_000, bitrate=18_000, packet_frames=packet_frames)
    decoder = codec.open_decoder(24_000)
    stated = encoder.latency_ms + decoder.latency_ms
    assert stated == pytest.approx(latency_ms + (packet_frames - 1) * 1000 * 320 / 24_000, abs=0.001)
    assert measured_ms(encoder, decoder, speech_like(0.75, 24_000)) == pytest.approx(stated, abs=0.001)
    assert packet_frames > 1 or stated == pytest.approx(codec.spec.latency_ms)


@pytest.mark.parametrize("name", ["base", "seanet"])
@pytest.mark.parametrize(("sample_rate", "most_ms"), [(48_000, 2.7), (16_000, 4.1)])
def test_resampling_adds_little(name, sample_rate, most_ms):
    codec = load(name)
    encoder, decoder = codec.open_encoder(sample_rate, bitrate=18_000), codec.open_decoder(sample_rate)
    stated = encoder.latency_ms + decoder.latency_ms
    assert stated <= codec.spec.latency_ms + most_ms
    measured = measured_ms(encoder, decoder, speech_like(0.75, sample_rate))
    assert measured == pytest.approx(stated, abs=1000 * 10 / sample_rate)
