import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_sounds import HOP, RATE, noise

import soundstream
from soundstream.errors import AudioError, ConfigError

same_fixture = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def chunks(pcm, rng):
    """Pcm in pieces of 1 to 5000 samples."""
    start = 0
    while start < pcm.shape[1]:
        length = int(rng.integers(1, 5001))
        yield pcm[:, start : start + length]
        start += length


def encoded(encoder, parts):
    return [packet for part in parts for packet in encoder.push(part)] + encoder.flush()


@same_fixture
@given(
    seed=st.integers(0, 2**32 - 1),
    sample_rate=st.sampled_from([8000, 16_000, 24_000, 44_100, 48_000]),
    channels=st.integers(1, 2),
    packet_frames=st.integers(1, 4),
)
def test_any_chunks_give_the_packets_of_the_whole(live_codec, seed, sample_rate, channels, packet_frames):
    pcm, rng = noise(sample_rate // 4, seed, channels), np.random.default_rng(seed)
    options = {"packet_frames": packet_frames, "redundancy": 2, "bitrate": 1800}
    whole = encoded(live_codec.open_encoder(sample_rate, channels, **options), [pcm])
    assert encoded(live_codec.open_encoder(sample_rate, channels, **options), chunks(pcm, rng)) == whole


@same_fixture
@given(seed=st.integers(0, 2**32 - 1), packet_frames=st.integers(1, 4))
def test_rates_that_switch_at_packets_give_those_of_the_whole_at_each_rate(live_codec, seed, packet_frames):
    rng, size = np.random.default_rng(seed), HOP * packet_frames
    pcm, bitrates = noise(20 * size, seed), rng.choice([600, 1200, 1800, 2400], 20)
    whole = {
        rate: live_codec.open_encoder(RATE, 1, int(rate), packet_frames=packet_frames).push(pcm) for rate in {*bitrates}
    }
    encoder, packets = live_codec.open_encoder(RATE, 1, packet_frames=packet_frames, bitrate=600), []
    for number, rate in enumerate(bitrates):
        encoder.bitrate = int(rate)
        for part in chunks(pcm[:, number * size : (number + 1) * size], rng):
            packets += encoder.push(part)
    assert packets == [whole[rate][number] for number, rate in enumerate(bitrates)]


@pytest.mark.parametrize("packet_frames", [1, 3])
def test_the_switch_for_noise_holds_from_the_next_packet_on(denoising_codec, packet_frames):
    size = packet_frames * HOP
    pcm = noise(20 * size)

    def packets(*strengths):
        encoder, given = denoising_codec.open_encoder(RATE, bitrate=2400, packet_frames=packet_frames), []
        for part, strength in zip(np.split(pcm, [7 * size - 1, 14 * size], axis=1), strengths, strict=True):
            encoder.denoise = strength
            given += encoder.push(part)
        return given

    plain, mixed = packets(0.0, 0.0, 0.0), packets(0.0, 1.0, 0.5)
    assert mixed[:6] == plain[:6] and mixed[6:12] != plain[6:12]
    assert mixed[14:] not in (plain[14:], packets(0.0, 1.0, 1.0)[14:])


def test_interleaved_sessions_equal_separate_ones(live_codec):
    signals = noise(20 * HOP, 1), noise(20 * HOP, 2)
    separate = [encoded(live_codec.open_encoder(RATE, bitrate=1200), [pcm]) for pcm in signals]
    encoders = [live_codec.open_encoder(RATE, bitrate=1200) for _ in signals]
    mixed = [[], []]
    for start in range(0, 20 * HOP, 500):
        for encoder, pcm, packets in zip(encoders, signals, mixed, strict=True):
            packets += encoder.push(pcm[:, start : start + 500])
    assert [packets + e.flush() for packets, e in zip(mixed, encoders, strict=True)] == separate


@pytest.mark.parametrize("effort", [1, 5])
def test_codes_are_those_of_a_file_with_the_same_effort(live_codec, effort):
    pcm, bitrate = noise(40 * HOP), 2400
    decoder, encoder = live_codec.open_decoder(RATE), live_codec.open_encoder(RATE, bitrate=bitrate, effort=effort)
    heard = [decoder.push(packet) for packet in encoded(encoder, [pcm])]
    decoded, _ = live_codec.decode(live_codec.encode(pcm, RATE, bitrate, effort=effort))
    late = live_codec.spec.delay_samples
    live = np.concatenate(heard, axis=1)[:, late : late + pcm.shape[1]]
    np.testing.assert_allclose(live, decoded, rtol=0, atol=1e-5)


@pytest.mark.parametrize("packet_frames", [1, 4])
@pytest.mark.parametrize("redundancy", [0, 1, 4])
def test_a_packet_costs_two_bytes_beside_its_codes(live_codec, packet_frames, redundancy):
    encoder = live_codec.open_encoder(RATE, 1, 1800, packet_frames=packet_frames, redundancy=redundancy)
    first, second, *_ = encoder.push(noise(8 * HOP))
    assert len(first) == 2 + 3 * packet_frames
    assert len(second) == 2 + (3 + min(redundancy, 3)) * packet_frames


@pytest.mark.parametrize("samples", [0, 1, HOP - 80, HOP, 3 * HOP + 1])
@pytest.mark.parametrize("packet_frames", [1, 3])
def test_flush_covers_the_signal_and_what_the_decoder_gives_late(live_codec, samples, packet_frames):
    packets = encoded(live_codec.open_encoder(RATE, bitrate=600, packet_frames=packet_frames), [noise(samples)])
    needed = samples + live_codec.spec.delay_samples if samples else 0
    assert len(packets) == -(-needed // (packet_frames * HOP))


def test_a_session_that_is_over_takes_nothing(live_codec):
    with live_codec.open_encoder(RATE, bitrate=600) as encoder:
        encoder.push(noise(5 * HOP))
        assert encoder.flush() == encoder.flush() == [] or live_codec.spec.delay_samples
    with pytest.raises(ConfigError, match="open a new one"):
        encoder.push(noise(1))
    assert encoder.flush() == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"sample_rate": 7999}, AudioError),
        ({"channels": 9}, AudioError),
        ({"bitrate": 700}, ConfigError),
        ({"packet_frames": 0}, ConfigError),
        ({"packet_frames": 5}, ConfigError),
        ({"redundancy": 5}, ConfigError),
        ({"redundancy": -1}, ConfigError),
        ({"denoise": 1.5}, ConfigError),
    ],
)
def test_options_that_do_not_exist_are_refused(live_codec, options, error):
    with pytest.raises(error):
        live_codec.open_encoder(**{"sample_rate": RATE, "bitrate": 600} | options)


def test_settings_and_sounds_that_are_refused_change_nothing(live_codec):
    encoder, twin = (live_codec.open_encoder(RATE, bitrate=600) for _ in range(2))
    with pytest.raises(ConfigError):
        encoder.bitrate = 5
    with pytest.raises(ConfigError):
        encoder.denoise = float("nan")
    for bad in (np.full((1, 900), np.nan), noise(900, channels=2)):
        with pytest.raises(AudioError):
            encoder.push(bad)
    assert (encoder.bitrate, encoder.denoise) == (600, 0.0)
    assert encoder.push(noise(900)) == twin.push(noise(900))


def test_one_row_and_int16_are_taken_as_well(live_codec):
    pcm = np.round(noise(4 * HOP) * 32767).astype(np.int16)
    first, second = (live_codec.open_encoder(RATE, bitrate=600) for _ in range(2))
    assert first.push(pcm[0]) == second.push(pcm.astype(np.float32) / 32768)


def test_buffers_do_not_grow(live_codec):
    encoder = live_codec.open_encoder(44_100, bitrate=600)
    pcm = noise(1000)
    for _ in range(400):
        encoder.push(pcm)
        assert encoder._held.shape[1] < HOP and encoder._held.base is None
        assert encoder._stream._latents._rest.shape[1] == 0


def test_sessions_open_with_the_default_model():
    with soundstream.open_encoder(RATE, redundancy=2) as encoder, soundstream.open_decoder(RATE) as decoder:
        packets = encoder.push(noise(2 * HOP))
        assert [decoder.push(packet).shape for packet in packets] == [(1, HOP)] * 2
