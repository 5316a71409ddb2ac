from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_sounds import HOP, RATE, noise

from soundstream.audio import soft_limit
from soundstream.errors import BitstreamError, ConfigError, InvalidField, Truncated
from soundstream.live.network.simulate import GilbertLoss, RandomLoss
from soundstream.runtime.stream import DecoderStream, silence_of

same_fixture = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def decoded(decoder, packets, lost=None):
    """All sound of packets, of which some are lost and none is seen ahead."""
    lost = np.zeros(len(packets), bool) if lost is None else lost
    return np.concatenate([decoder.push(None if g else p) for p, g in zip(packets, lost, strict=True)], axis=1)


@pytest.mark.parametrize("loss", [RandomLoss(0.3), GilbertLoss(0.3, 5), RandomLoss(1.0)], ids=str)
@pytest.mark.parametrize("sample_rate", [24_000, 44_100])
def test_lost_packets_give_finite_sound_of_the_same_length(live_codec, live_packets, loss, sample_rate):
    lost = loss.draw(len(live_packets), np.random.default_rng(0))
    decoder, whole = (live_codec.open_decoder(sample_rate) for _ in range(2))
    heard, unharmed = decoded(decoder, live_packets, lost), decoded(whole, live_packets)
    assert heard.shape == unharmed.shape and np.isfinite(heard).all()
    assert not np.array_equal(heard, unharmed)
    tails = decoder.flush(), whole.flush()
    assert tails[0].shape == tails[1].shape
    assert heard.shape[1] + tails[0].shape[1] == -(-len(live_packets) * HOP * sample_rate // RATE)


def test_a_copy_takes_the_place_of_a_lost_packet(live_codec):
    packets = live_codec.open_encoder(RATE, bitrate=1800, redundancy=3).push(noise(30 * HOP))
    decoder = live_codec.open_decoder(RATE)
    heard = [decoder.push(None, packets[i + 1]) if i % 3 == 1 else decoder.push(packets[i]) for i in range(29)]
    np.testing.assert_array_equal(np.concatenate(heard, axis=1), decoded(live_codec.open_decoder(RATE), packets[:29]))


def test_a_partial_copy_is_nearer_to_the_truth_than_a_guess(live_codec, live_packets):
    lost = np.arange(len(live_packets)) % 4 == 3
    truth, guess = (decoded(live_codec.open_decoder(RATE), live_packets[:199], x[:199]) for x in (lost & False, lost))
    decoder = live_codec.open_decoder(RATE)
    heard = [decoder.push(None, live_packets[i + 1]) if lost[i] else decoder.push(live_packets[i]) for i in range(199)]
    error, blind = (np.square(x - truth).mean() for x in (np.concatenate(heard, axis=1), guess))
    assert error < 0.9 * blind


def test_the_copy_of_another_packet_is_not_used(live_codec, live_packets):
    told, blind = (live_codec.open_decoder(RATE) for _ in range(2))
    decoded(told, live_packets[:5]), decoded(blind, live_packets[:5])
    np.testing.assert_array_equal(told.push(None, live_packets[7]), blind.push(None))
    assert not np.array_equal(told.push(None, live_packets[7]), blind.push(None))


def test_sequence_numbers_start_again(live_codec, live_packets):
    told, blind = (live_codec.open_decoder(RATE) for _ in range(2))
    decoded(told, live_packets[:127]), decoded(blind, live_packets[:127])
    assert not np.array_equal(told.push(None, live_packets[128]), blind.push(None))


def test_what_follows_without_a_copy_changes_the_guess(live_codec):
    packets = live_codec.open_encoder(RATE, bitrate=600).push(noise(5 * HOP))
    told, blind = (live_codec.open_decoder(RATE) for _ in range(2))
    np.testing.assert_array_equal(told.push(packets[0]), blind.push(packets[0]))
    assert not np.array_equal(told.push(None, packets[2]), blind.push(None))


@pytest.mark.parametrize("packet_frames", [1, 2, 4])
def test_a_lost_packet_has_as_many_frames_as_the_one_before(live_codec, packet_frames):
    packet, *_ = live_codec.open_encoder(RATE, bitrate=600, packet_frames=packet_frames).push(noise(4 * HOP))
    decoder = live_codec.open_decoder(RATE)
    assert decoder.push(None).shape == (1, HOP)
    assert decoder.push(packet).shape == decoder.push(None).shape == (1, packet_frames * HOP)


def test_long_gaps_fade_to_silence(live_codec, live_packets):
    decoder, resting = live_codec.open_decoder(RATE), DecoderStream(live_codec.model, 1)
    decoded(decoder, live_packets[:20])
    gap = np.concatenate([decoder.push(None) for _ in range(100)], axis=1)
    silence = resting.push_latents(np.tile(silence_of(live_codec.model)[None, :, None], (1, 1, 100)))
    np.testing.assert_allclose(gap[:, -HOP:], soft_limit(silence[:, -HOP:]), rtol=0, atol=1e-4)


def test_a_loss_before_the_first_packet_is_silence(live_codec):
    heard = np.concatenate([live_codec.open_decoder(RATE).push(None) for _ in range(2)], axis=1)
    resting = DecoderStream(live_codec.model, 1).push_latents(silence_of(live_codec.model)[None, :, None])
    np.testing.assert_array_equal(heard[:, :HOP], soft_limit(resting))


@pytest.mark.parametrize("channels", [1, 2])
def test_interleaved_sessions_equal_separate_ones(live_codec, channels):
    signals = [live_codec.open_encoder(RATE, channels, 1200).push(noise(40 * HOP, seed, channels)) for seed in range(2)]
    lost = RandomLoss(0.2).draw(40, np.random.default_rng(3))
    separate = [decoded(live_codec.open_decoder(RATE, channels), packets, lost) for packets in signals]
    decoders, mixed = [live_codec.open_decoder(RATE, channels) for _ in signals], [[], []]
    for i in range(40):
        for decoder, packets, heard in zip(decoders, signals, mixed, strict=True):
            heard.append(decoder.push(None if lost[i] else packets[i]))
    for heard, expected in zip(mixed, separate, strict=True):
        np.testing.assert_array_equal(np.concatenate(heard, axis=1), expected)


def test_sessions_run_side_by_side_in_threads(live_codec):
    def call(seed):
        encoder, decoder = live_codec.open_encoder(RATE, bitrate=1200), live_codec.open_decoder(RATE)
        pcm = noise(40 * HOP, seed)
        packets = [p for start in range(0, 40 * HOP, 700) for p in encoder.push(pcm[:, start : start + 700])]
        return decoded(decoder, packets)

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(call, range(5)))
    for seed, heard in enumerate(together):
        np.testing.assert_array_equal(heard, call(seed))


@same_fixture
@given(data=st.binary(max_size=12))
def test_any_bytes_give_sound_or_a_named_error_that_changes_nothing(live_codec, live_packets, data):
    decoder, twin = (live_codec.open_decoder(RATE) for _ in range(2))
    decoded(decoder, live_packets[:3]), decoded(twin, live_packets[:3])
    for arguments in ((data, None), (None, data)):
        try:
            heard = decoder.push(*arguments)
        except BitstreamError:
            np.testing.assert_array_equal(decoder.push(None, live_packets[4]), twin.push(None, live_packets[4]))
            return
        assert np.isfinite(heard).all() and heard.shape[1] in (HOP, 2 * HOP, 3 * HOP, 4 * HOP)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda p: b"", Truncated),
        (lambda p: p[:1], Truncated),
        (lambda p: p[:4], InvalidField),
        (lambda p: p + b"1234", InvalidField),
        (lambda p: bytes([p[0], p[1] | 0x3F]) + p[2:], InvalidField),
    ],
    ids=["empty", "half a head", "cut", "copy of five codebooks", "too many codebooks"],
)
def test_damaged_packets_have_named_errors(live_codec, live_packets, damage, error):
    decoder = live_codec.open_decoder(RATE)
    with pytest.raises(error):
        decoder.push(damage(live_packets[1]))


def test_set_bits_after_the_last_code_are_refused(codec):
    packet, *_ = codec.open_encoder(RATE, bitrate=750).push(noise(HOP))
    with pytest.raises(InvalidField, match="zeros"):
        codec.open_decoder(RATE).push(packet[:-1] + bytes([packet[-1] | 1]))


def test_a_session_that_is_over_takes_nothing(live_codec, live_packets):
    with live_codec.open_decoder(44_100) as decoder:
        decoder.push(live_packets[0])
        assert decoder.flush().shape[1] > 0
    assert decoder.flush().shape == (1, 0)
    with pytest.raises(ConfigError, match="open a new one"):
        decoder.push(live_packets[1])


def test_a_copy_too_small_to_be_told_is_refused(nibble_codec):
    with pytest.raises(ConfigError, match="packet_frames"):
        nibble_codec.open_encoder(RATE, bitrate=300, redundancy=1)
    decoder = nibble_codec.open_decoder(RATE)
    pair = nibble_codec.open_encoder(RATE, bitrate=300, redundancy=1, packet_frames=2).push(noise(4 * HOP))
    assert [len(packet) for packet in pair] == [3, 4]
    assert decoder.push(None, pair[1]).shape == (1, HOP * 2)


def test_small_codebooks_leave_no_phantom_copy(nibble_codec):
    packets = nibble_codec.open_encoder(RATE, bitrate=300).push(noise(3 * HOP))
    told, blind = (nibble_codec.open_decoder(RATE) for _ in range(2))
    np.testing.assert_array_equal(told.push(packets[0]), blind.push(packets[0]))
    np.testing.assert_array_equal(told.push(None, packets[1]), blind.push(None))  # the packet itself, no copy


def test_state_does_not_grow(live_codec, live_packets):
    decoder = live_codec.open_decoder(RATE)

    def size():
        return decoder._concealer._last.nbytes

    before = size()
    for i in range(250):
        decoder.push(None if i % 3 else live_packets[i % 200], live_packets[(i + 1) % 200])
    assert size() == before and decoder._concealer._last.base is None
