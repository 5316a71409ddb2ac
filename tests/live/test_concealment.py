import numpy as np
import pytest
from live_sounds import HOP, RATE

from soundstream import load
from soundstream.evaluate.speed.bench import speech_like
from soundstream.live.concealment import DECAY_S, NEXT_SHARE, Concealer
from soundstream.live.network.simulate import GilbertLoss, RandomLoss

SILENCE = np.array([1.0, -2.0, 0.5], np.float32)


def latents(seed, frames, channels=1):
    return np.random.default_rng(seed).normal(0, 1, (channels, 3, frames)).astype(np.float32)


def largest_step(codec, packets):
    """Between two samples of what is heard of packets, None where one is lost."""
    decoder = codec.open_decoder(RATE)
    return np.abs(np.diff(np.concatenate([decoder.push(packet) for packet in packets], axis=1))).max()


def away(guessed):
    """Distance from silence of each frame `[channels, frames]`."""
    return np.linalg.norm(guessed - SILENCE[:, None], axis=1)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_gap_fades_from_the_last_sound_to_silence_and_stays_there(channels):
    concealer, last = Concealer(SILENCE, channels, 75.0), latents(0, 4, channels)
    concealer.note(last)
    guessed = concealer.guess(200)
    distance = away(guessed)
    np.testing.assert_allclose(distance[:, :1], np.exp(-1 / 75 / DECAY_S) * away(last[:, :, -1:]), rtol=1e-5)
    assert (np.diff(distance[:, :25]) < 0).all()
    np.testing.assert_array_equal(guessed[:, :, 25:], np.tile(SILENCE[:, None], (channels, 1, 175)))


def test_a_gap_lasts_as_long_at_any_frame_rate():
    quick, slow = Concealer(SILENCE, 1, 75.0), Concealer(SILENCE, 1, 12.5)
    for concealer in (quick, slow):
        concealer.note(latents(5, 1))
    np.testing.assert_allclose(slow.guess(8), quick.guess(48)[:, :, 5::6], rtol=0, atol=1e-6)


def test_a_gap_is_the_same_in_parts():
    whole, parts = Concealer(SILENCE, 1, 75.0), Concealer(SILENCE, 1, 75.0)
    for concealer in (whole, parts):
        concealer.note(latents(1, 2))
    pieces = [parts.guess(frames) for frames in (1, 3, 4, 2, 20, 10)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=2), whole.guess(40), rtol=0, atol=1e-6)


def test_what_comes_ends_a_gap():
    concealer, fresh = Concealer(SILENCE, 1, 75.0), Concealer(SILENCE, 1, 75.0)
    concealer.note(latents(2, 1))
    concealer.guess(30)
    for one in (concealer, fresh):
        one.note(latents(3, 1))
    np.testing.assert_array_equal(concealer.guess(5), fresh.guess(5))


def test_what_follows_draws_the_last_frame_towards_it():
    told, blind = Concealer(SILENCE, 1, 75.0), Concealer(SILENCE, 1, 75.0)
    for concealer in (told, blind):
        concealer.note(latents(4, 1))
    following = latents(5, 2)
    drawn, guessed = told.guess(3, following), blind.guess(3)
    np.testing.assert_array_equal(drawn[:, :, :-1], guessed[:, :, :-1])
    left = drawn[:, :, -1] - following[:, :, 0]
    np.testing.assert_allclose(left, (1 - NEXT_SHARE) * (guessed[:, :, -1] - following[:, :, 0]), rtol=0, atol=1e-6)


def test_what_was_noted_may_change_afterwards():
    concealer, mine = Concealer(SILENCE, 1, 75.0), latents(6, 2)
    concealer.note(mine)
    expected = SILENCE[:, None] + np.float32(np.exp(-1 / 75 / DECAY_S)) * (mine[:, :, -1:] - SILENCE[:, None])
    mine[:] = 0
    np.testing.assert_allclose(concealer.guess(1), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["base", "seanet"])
@pytest.mark.parametrize("loss", [RandomLoss(0.2), GilbertLoss(0.2, 5)], ids=str)
def test_gaps_begin_and_end_without_a_click(name, loss):
    codec = load(name)
    packets = codec.open_encoder(RATE).push(speech_like(2, RATE))
    lost = loss.draw(len(packets), np.random.default_rng(0))
    with_gaps = [None if one else packet for packet, one in zip(packets, lost, strict=True)]
    assert largest_step(codec, with_gaps) <= 1.2 * largest_step(codec, packets)


@pytest.mark.parametrize("name", ["base", "seanet"])
def test_rates_switch_without_a_click(name):
    codec, pcm = load(name), speech_like(2, RATE)
    rates = [1500, 12_000]
    steady = max(largest_step(codec, codec.open_encoder(RATE, bitrate=rate).push(pcm)) for rate in rates)
    encoder, packets = codec.open_encoder(RATE), []
    for i, start in enumerate(range(0, pcm.shape[1] - HOP, HOP)):
        encoder.bitrate = rates[i % 2]
        packets += encoder.push(pcm[:, start : start + HOP])
    assert largest_step(codec, packets) <= 1.2 * steady


def test_lost_frames_add_nothing_to_gains():
    concealer = Concealer(SILENCE, 1, 75.0, level_bands=1)
    concealer.note(latents(0, 4))
    guessed = concealer.guess(10, following=latents(1, 2))
    assert not guessed[:, 2].any() and guessed[:, :2].all()
