"""Datagrams to slots and sound, from friend and foe, and a call over real sockets."""

import itertools
import threading
import time
from dataclasses import asdict

import numpy as np
import pytest
from live_sounds import noise

from benchmarks.fuzz_datagrams import mutated
from soundstream.errors import ConfigError, ModelMismatch
from soundstream.live.network.jitter import WINDOW, Statistics
from soundstream.live.network.rtp import Form, Packetizer
from soundstream.live.network.simulate import LossyLink, RandomDelay, RandomLoss
from soundstream.live.network.udp import (
    MAX_CANDIDATES,
    Receiver,
    Reception,
    Sender,
    connect,
    decode,
    listen,
    transmit,
)

CLOCK, HOP = 24_000, 320
FRAME_S = HOP / CLOCK
FRIEND, FOE = ("192.0.2.1", 5004), ("192.0.2.9", 666)
LIVE = b"\0\0live"
"""Enough of a live packet for all but a decoder."""


def datagrams(count, payload=LIVE, **settings):
    stream = Packetizer(HOP, **settings)
    return [stream.pack(payload) for _ in range(count)], stream


def heard(slots):
    return [slot.payload for slot in slots]


def feed(reception, sent, address=FRIEND, start_s=0.0):
    for i, datagram in enumerate(sent):
        reception.take(datagram, address, start_s + i * FRAME_S)


def quiet_network():
    return LossyLink(RandomLoss(0), RandomDelay(0), np.random.default_rng(0))


# who is heard


def test_a_stream_is_heard_from_its_first_packet():
    reception = Reception(CLOCK)
    feed(reception, datagrams(30)[0])
    assert heard(reception.drain()) == [LIVE] * 30
    assert (reception.statistics.received, reception.statistics.foreign) == (30, 0)


def test_one_packet_alone_is_no_stream():
    reception = Reception(CLOCK)
    reception.take(datagrams(1)[0][0], FRIEND, 0.0)
    assert reception.drain() == [] and reception.next_s() is None
    assert not reception.is_over(1e9)


def test_the_first_stream_is_kept_and_others_are_counted():
    reception = Reception(CLOCK)
    friend, foe = datagrams(40)[0], datagrams(40, b"\0\0evil")[0]
    feed(reception, friend[:2])
    for i in range(2, 40):
        reception.take(foe[i], FOE, i * FRAME_S)
        reception.take(foe[i], FRIEND, i * FRAME_S)
        reception.take(friend[i], FRIEND, i * FRAME_S)
    assert heard(reception.drain()) == [LIVE] * 40
    assert (reception.statistics.foreign, reception.statistics.received) == (76, 40)


def test_the_same_name_from_elsewhere_is_another_stream():
    reception = Reception(CLOCK)
    friend, foe = datagrams(10, ssrc=1)[0], datagrams(10, b"\0\0evil", ssrc=1)[0]
    feed(reception, friend)
    feed(reception, foe, FOE)
    assert heard(reception.drain()) == [LIVE] * 10


def test_a_flood_of_single_packets_does_not_keep_a_stream_out():
    reception = Reception(CLOCK)
    flood = [datagrams(1)[0][0] for _ in range(500)]
    feed(reception, flood, FOE)
    feed(reception, datagrams(20)[0], start_s=10.0)
    assert heard(reception.drain()) == [LIVE] * 20
    assert reception.statistics.foreign == 500
    assert MAX_CANDIDATES < 500


def test_only_the_chosen_sender_is_heard():
    reception = Reception(CLOCK, sender=FRIEND[0])
    feed(reception, datagrams(20)[0], FOE)
    feed(reception, datagrams(20)[0])
    assert (reception.statistics.foreign, reception.statistics.received) == (20, 20)


def test_another_payload_type_is_foreign():
    reception = Reception(CLOCK)
    feed(reception, datagrams(20, payload_type=97)[0])
    assert (reception.statistics.foreign, reception.drain()) == (20, [])


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(12), b"\x80\x60" + bytes(10), b"\x80\xc8"])
def test_what_is_no_packet_is_counted(data):
    reception = Reception(CLOCK)
    reception.take(data, FRIEND, 0.0)
    assert reception.statistics == Statistics(malformed=1)


# how a stream ends


def test_a_stream_ends_with_its_goodbye_when_all_of_it_was_played():
    reception = Reception(CLOCK)
    sent, stream = datagrams(20)
    feed(reception, sent)
    reception.take(stream.goodbye(0.0), FRIEND, 20 * FRAME_S)
    now = 20 * FRAME_S
    slots = [*reception.pop(now)]
    while not reception.is_over(now):
        now += 0.001
        slots += reception.pop(now)
    assert heard(slots) == [LIVE] * 20
    assert now < 20 * FRAME_S + 0.1


def test_only_the_stream_itself_says_goodbye():
    reception = Reception(CLOCK)
    sent, stream = datagrams(10)
    feed(reception, sent)
    reception.take(datagrams(1)[1].goodbye(0.0), FRIEND, 0.14)
    reception.take(stream.goodbye(0.0), FOE, 0.14)
    reception.take(stream.report(0.0), FRIEND, 0.14)
    assert reception.statistics.foreign == 1
    reception.drain()
    assert not reception.is_over(0.15)
    reception.take(stream.goodbye(0.0), FRIEND, 0.15)
    assert reception.is_over(0.15)


def test_a_stream_ends_when_its_sender_is_silent():
    reception = Reception(CLOCK, idle_s=1.0)
    sent = datagrams(10)[0]
    feed(reception, sent)
    last = 9 * FRAME_S
    assert not reception.is_over(last + 0.9)
    reception.take(sent[9], FRIEND, last + 0.9)  # again is not new
    assert reception.is_over(last + 1.1)


def test_a_stream_that_does_not_begin_ends_after_the_same_time():
    reception = Reception(CLOCK, idle_s=1.0, begins_s=5.0)
    assert not reception.is_over(5.9) and reception.is_over(6.1)
    feed(reception, datagrams(10)[0], start_s=5.9)
    assert not reception.is_over(6.9)


# what both sides must have alike


OURS, THEIRS = Form(b"12345678", 1), Form(b"87654321", 1)


def test_a_stream_of_another_model_is_refused_at_its_second_packet():
    reception = Reception(CLOCK, form=OURS)
    sent = datagrams(2, form=THEIRS)[0]
    reception.take(sent[0], FRIEND, 0.0)
    with pytest.raises(
        ModelMismatch, match=f"{THEIRS.model_id.hex()} and 1 channel; here it is .*{OURS.model_id.hex()}"
    ):
        reception.take(sent[1], FRIEND, FRAME_S)
    for form in (Form(OURS.model_id, 2), THEIRS):
        with pytest.raises(ModelMismatch):
            feed(Reception(CLOCK, form=OURS), datagrams(2, form=form)[0])


def test_a_stream_is_refused_later_too_if_its_first_packets_were_lost():
    reception = Reception(CLOCK, form=OURS)
    with pytest.raises(ModelMismatch):
        feed(reception, datagrams(80, form=THEIRS)[0][10:])
    assert reception.statistics.received == 66


def test_a_stream_of_the_same_model_is_heard_and_one_that_does_not_say():
    for theirs in (OURS, None):
        reception = Reception(CLOCK, form=OURS)
        feed(reception, datagrams(100, form=theirs)[0])
        assert heard(reception.drain()) == [LIVE] * 100


def test_what_a_stranger_says_ends_nothing():
    reception = Reception(CLOCK, form=OURS)
    reception.take(datagrams(1, form=THEIRS)[0][0], FOE, 0.0)
    feed(reception, datagrams(50, form=OURS)[0])
    feed(reception, datagrams(50, form=THEIRS)[0], FOE, start_s=0.3)
    assert heard(reception.drain()) == [LIVE] * 50


# hostile datagrams


def test_no_datagram_is_fatal(live_codec, live_packets):
    """Random, mutated and repeated datagrams beside a stream that is heard already: none of it is lost to them."""
    rng = np.random.default_rng(0)
    reception, decoder = Reception(CLOCK), live_codec.open_decoder(CLOCK)
    stream = Packetizer(HOP)
    sent = [stream.pack(payload) for payload in live_packets[:100]]
    feed(reception, sent[:2])
    slots = []
    for i, datagram in enumerate(sent[2:], 2):
        now = i * FRAME_S
        reception.take(datagram, FRIEND, now)
        for _ in range(20):
            reception.take(rng.bytes(int(rng.integers(80))), FRIEND, now)
            reception.take(sent[int(rng.integers(i + 1))], FRIEND, now)
            reception.take(mutated(sent[int(rng.integers(i + 1))], rng), FOE, now)
        slots += reception.pop(now)
    slots += reception.drain()
    assert heard(slots) == live_packets[:100]
    assert all(np.isfinite(decode(slot, decoder, reception.statistics)).all() for slot in slots)
    counts = reception.statistics
    assert counts.malformed > 1000 and counts.foreign > 1000 and counts.duplicates == 98 * 20
    assert len(reception._buffer._packets) == 0 and len(reception._candidates) <= MAX_CANDIDATES


def test_a_forger_is_outlived(live_codec, live_packets):
    """Who sees a stream can send in its name; when that stops, all but a few of its packets are heard again."""
    rng = np.random.default_rng(0)
    reception, decoder = Reception(CLOCK), live_codec.open_decoder(CLOCK)
    stream = Packetizer(HOP)
    sent = [stream.pack(payload) for payload in live_packets]
    slots = []
    for i, datagram in enumerate(sent):
        reception.take(datagram, FRIEND, i * FRAME_S)
        for _ in range(20 if 2 <= i < 60 else 0):
            reception.take(mutated(sent[int(rng.integers(i + 1))], rng), FRIEND, i * FRAME_S)
        slots += reception.pop(i * FRAME_S)
        assert len(reception._buffer._packets) <= WINDOW
    slots += reception.drain()
    assert all(np.isfinite(decode(slot, decoder, reception.statistics)).all() for slot in slots)
    assert len({*live_packets[-60:]} & {*heard(slots)}) > 55
    assert reception.statistics.strays > 10


def test_undecodable_packets_are_concealed(live_codec, live_packets):
    reception, decoder = Reception(CLOCK), live_codec.open_decoder(CLOCK)
    stream = Packetizer(HOP)
    payloads = [packet if i % 4 else packet[:3] for i, packet in enumerate(live_packets[:40])]
    payloads[10] = None  # lost, before one that cannot be decoded either
    payloads[11] = live_packets[11][:4]
    for i, payload in enumerate(payloads):
        datagram = stream.pack(payload or b"")
        if payload:
            reception.take(datagram, FRIEND, i * FRAME_S)
    blocks = [decode(slot, decoder, reception.statistics) for slot in reception.drain()]
    assert sum(pcm.shape[1] for pcm in blocks) == 40 * HOP
    assert (reception.statistics.undecodable, reception.statistics.concealed) == (11, 1)


# over sockets


def call(codec, pcm, network=None, sample_rate=CLOCK, **settings):
    """Sound that a receiver on another thread heard of a stream over loopback, and both sides' counts."""
    encoder = codec.open_encoder(sample_rate, bitrate=1500, **settings)
    with listen("127.0.0.1", 0) as inward, connect(*inward.getsockname()) as outward:
        reception = Reception(CLOCK, idle_s=5.0, min_s=0.3)
        blocks = []
        receiver = Receiver(inward, reception, codec.open_decoder(sample_rate))
        thread = threading.Thread(target=lambda: blocks.extend(receiver))
        thread.start()
        step = settings.get("packet_frames", 1) * HOP
        sender = Sender(outward, Packetizer(step), network or quiet_network())
        pieces = (pcm[:, start : start + 500] for start in range(0, pcm.shape[1], 500))
        sent = transmit(pieces, encoder, sender)
        thread.join(20)
        assert not thread.is_alive()
    return np.concatenate(blocks, axis=1), sent, reception.statistics


@pytest.mark.parametrize("packet_frames", [1, 3])
def test_a_call_over_loopback_gives_what_the_codec_gives(codec, packet_frames):
    pcm = noise(60 * HOP)
    heard_pcm, sent, counts = call(codec, pcm, packet_frames=packet_frames)
    encoder = codec.open_encoder(CLOCK, bitrate=1500, packet_frames=packet_frames)
    decoder = codec.open_decoder(CLOCK)
    expected = np.concatenate([decoder.push(packet) for packet in encoder.push(pcm) + encoder.flush()], axis=1)
    if counts.late + counts.lost == 0:  # as on any machine that is not held up for 0.3 s
        assert np.array_equal(heard_pcm, expected)
    assert heard_pcm.shape == expected.shape
    assert (counts.expected, counts.foreign, counts.malformed) == (sent.packets, 0, 0)
    assert sent.duration_s == pytest.approx(60 * HOP / CLOCK, abs=0.001)


def test_a_call_takes_as_long_as_its_sound(codec):
    start = time.monotonic()
    call(codec, noise(30 * HOP))
    assert time.monotonic() - start > 29 * FRAME_S


def test_a_lossy_call_over_loopback_has_no_hole(codec):
    network = LossyLink(RandomLoss(0.1), RandomDelay(0.02), np.random.default_rng(3))
    heard_pcm, sent, counts = call(codec, noise(100 * HOP), network, redundancy=1)
    assert sent.simulated_losses == pytest.approx(10, abs=8) and sent.failed == 0
    lost = sent.packets - counts.received
    assert lost == sent.simulated_losses
    assert counts.concealed >= counts.lost > 0
    assert sent.packets - 5 <= heard_pcm.shape[1] / HOP <= sent.packets
    assert np.isfinite(heard_pcm).all()


def test_a_receiver_that_is_stopped_gives_what_it_holds(live_codec, live_packets):
    with listen("127.0.0.1", 0) as inward, connect(*inward.getsockname()) as outward:
        reception = Reception(CLOCK, min_s=1.0)
        asked = itertools.count()
        receiver = Receiver(inward, reception, live_codec.open_decoder(CLOCK), lambda: next(asked) > 2)
        stream = Packetizer(HOP)
        for payload in live_packets[:10]:
            outward.send(stream.pack(payload))
        blocks = [*receiver]
    assert sum(pcm.shape[1] for pcm in blocks) == 10 * HOP


def test_a_sender_counts_what_the_system_refuses(codec):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
    with connect("127.0.0.1", port) as outward:
        sender = Sender(outward, Packetizer(HOP), quiet_network())
        sent = transmit([noise(20 * HOP)], codec.open_encoder(CLOCK, bitrate=1500), sender, paced=False)
    assert sent.failed > 0


def test_reports_go_out_beside_the_sound():
    with listen("127.0.0.1", 0) as inward, connect(*inward.getsockname()) as outward:
        sender = Sender(outward, Packetizer(HOP), quiet_network())
        sender.send(LIVE)
        sender.close()
        inward.settimeout(5)
        kinds = [inward.recv(2000)[1] for _ in range(5)]
    assert kinds == [0x80 | 96, 200, 200, 200, 200]


def test_addresses_that_cannot_be_used():
    with listen("127.0.0.1", 0) as inward, pytest.raises(ConfigError, match="cannot listen on"):
        listen(*inward.getsockname())
    with pytest.raises(ConfigError, match="cannot listen on 192"):
        listen("192.0.2.1", 0)
    with pytest.raises(ConfigError, match="cannot send to no host"):
        connect("no host", 5004)


def test_statistics_are_plain_data():
    counts = Statistics(expected=4, received=3)
    assert asdict(counts)["expected"] == 4
    assert (counts.lost, counts.loss_rate) == (1, 0.25)
    assert Statistics().loss_rate == 0
