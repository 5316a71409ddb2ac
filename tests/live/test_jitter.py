"""The jitter buffer puts packets in order and in time; the clock is a number."""

import itertools

import numpy as np
import pytest

from soundstream.live.network.jitter import MAX_CONCEALMENT_S, RESTART_S, WINDOW, JitterBuffer, Slot, Statistics
from soundstream.live.network.rtp import RtpPacket
from soundstream.live.network.simulate import GilbertLoss, RandomDelay, RandomLoss

CLOCK = 24_000
STEP = 320
PACKET_S = STEP / CLOCK


def packet(i, sequence=0, timestamp=0):
    """The i-th packet of a stream that starts at these numbers; its payload says which it is."""
    return RtpPacket((sequence + i) % 2**16, (timestamp + i * STEP) % 2**32, 1, b"%d" % i)


class Line:
    """A buffer, the slots that came out of it, and when."""

    def __init__(self, sequence=0, timestamp=0, **settings):
        self.statistics = Statistics()
        self.buffer = JitterBuffer(CLOCK, self.statistics, **settings)
        self.start = {"sequence": sequence, "timestamp": timestamp}
        self.slots = []
        self.times = []

    def run_to(self, now):
        """Release every slot at the very moment when it is due."""
        while (due := self.buffer.next_s()) is not None and due <= now:
            found = self.buffer.pop(due)
            assert found
            self.slots += found
            self.times += [due] * len(found)

    def put(self, i, now):
        self.run_to(now)
        return self.buffer.put(packet(i, **self.start), now)

    def play(self, arrivals):
        """Packets by number and time of arrival, then everything that is left."""
        for now, i in sorted((now, i) for i, now in arrivals):
            self.put(i, now)
        self.slots += self.buffer.drain()
        return self

    @property
    def heard(self):
        return [None if slot.payload is None else int(slot.payload) for slot in self.slots]


def on_time(count):
    return [(i, i * PACKET_S) for i in range(count)]


@pytest.mark.parametrize(("sequence", "timestamp"), [(0, 0), (65_500, 5), (32_768, 2**32 - 7 * STEP), (65_535, 2**31)])
def test_packets_come_out_as_they_went_in_wherever_their_numbers_wrap(sequence, timestamp):
    line = Line(sequence, timestamp).play(on_time(200))
    assert line.heard == [*range(200)]
    assert (line.statistics.expected, line.statistics.received, line.statistics.lost) == (200, 200, 0)


def test_packets_are_released_one_after_the_other_at_the_senders_pace():
    line = Line(start_s=0.06).play(on_time(40))
    assert line.times[0] == pytest.approx(0.06)
    assert np.diff(line.times) == pytest.approx(PACKET_S)


def test_packets_in_a_mess_are_put_in_order():
    late = RandomDelay(0.015).draw(300, np.random.default_rng(0)).clip(max=0.05)
    line = Line(65_400, start_s=0.1, min_s=0.1).play((i, now + late[i]) for i, now in on_time(300))
    assert line.heard == [*range(300)]
    assert line.statistics.reordered > 20


def test_the_first_packet_may_come_second():
    line = Line().play([(1, 0.0), (0, 0.01), (2, 0.02)])
    assert line.heard == [0, 1, 2]
    assert (line.statistics.expected, line.statistics.received) == (3, 3)


def test_a_missing_packet_is_concealed_in_time_with_the_help_of_the_next():
    line = Line().play([arrival for arrival in on_time(20) if arrival[0] not in (5, 9, 10)])
    assert line.heard == [*range(5), None, 6, 7, 8, None, None, *range(11, 20)]
    assert line.slots[5] == Slot(None, b"6")
    assert line.slots[9:11] == [Slot(None), Slot(None, b"11")]
    assert (line.statistics.concealed, line.statistics.lost) == (3, 3)
    assert line.statistics.loss_rate == pytest.approx(3 / 20)


def test_the_depth_always_holds_the_packet_after_a_lost_one():
    line = Line().play([arrival for arrival in on_time(900) if arrival[0] % 7])
    assert all(slot.following for slot in line.slots if slot.payload is None)


def test_a_late_packet_is_dropped_and_teaches_the_buffer():
    line = Line(start_s=0.06).play((i, now + (0.2 if i == 50 else 0)) for i, now in on_time(80))
    assert line.heard == [*range(50), None, *range(51, 80)]
    assert (line.statistics.late, line.statistics.lost) == (1, 0)
    assert line.statistics.depth_ms > 150


def test_packets_that_come_twice_are_dropped_before_and_after_their_time():
    line = Line(start_s=0.1)
    for i, now in on_time(50):
        assert line.put(i, now)
        assert not line.put(i, now)
        assert not line.put(max(0, i - 30), now)
    line.slots += line.buffer.drain()
    assert line.heard == [*range(50)]
    assert (line.statistics.duplicates, line.statistics.received) == (100, 50)


def test_a_late_packet_counts_once():
    line = Line().play([*[a for a in on_time(40) if a[0] != 10], (10, 0.4), (10, 0.41)])
    assert (line.statistics.late, line.statistics.duplicates, line.statistics.received) == (1, 1, 40)


@pytest.mark.parametrize("mean_s", [0.0, 0.005, 0.02, 0.06])
def test_the_depth_follows_the_jitter(mean_s):
    rng = np.random.default_rng(1)
    late = RandomDelay(mean_s).draw(3000, rng)
    line = Line().play((i, now + late[i]) for i, now in on_time(3000))
    assert line.statistics.late <= 0.025 * 3000
    quantile = -mean_s * np.log(0.01)
    assert line.statistics.depth_ms / 1000 == pytest.approx(max(0.02, PACKET_S + quantile), rel=0.35)


def test_the_jitter_is_that_of_the_standard():
    late = np.random.default_rng(2).uniform(0, 0.01, 400)
    line = Line().play((i, now + late[i]) for i, now in on_time(400))
    jitter, order = 0.0, np.argsort([now + late[i] for i, now in on_time(400)])
    for before, after in itertools.pairwise(order):
        jitter += (abs(late[after] - late[before]) - jitter) / 16
    assert line.statistics.jitter_ms == pytest.approx(1000 * jitter, abs=0.01)


def test_the_depth_shrinks_slowly_after_a_bad_time():
    line, late = Line(), RandomDelay(0.05).draw(800, np.random.default_rng(3))
    line.play((i, now + (late[i] if i < 800 else 0)) for i, now in on_time(800))
    deep = line.statistics.depth_ms
    depths = []
    for i, now in on_time(4000)[800:]:
        line.put(i, now)
        depths.append(line.statistics.depth_ms)
    assert deep > 150 and depths[-1] == pytest.approx(20, abs=1)
    assert min(np.diff(depths)) > -1000 * 0.02 * PACKET_S - 0.02
    assert line.heard[-50:] == [*range(line.heard[-1] - 49, line.heard[-1] + 1)]


def test_the_depth_is_bounded():
    late = np.random.default_rng(4).uniform(0, 1.4, 2000)
    line = Line().play((i, now + late[i]) for i, now in on_time(2000))
    assert line.statistics.depth_ms == 1000
    least = Line(start_s=0.0, min_s=0.2).play(on_time(10))
    assert least.statistics.depth_ms == 200


def test_a_clock_that_runs_faster_than_the_senders_is_followed():
    drift = 1.0005
    line = Line().play((i, now * drift) for i, now in on_time(20_000))
    assert (line.statistics.late, line.statistics.concealed) == (0, 0)
    delay = np.array(line.times) - drift * PACKET_S * np.arange(len(line.times))
    assert np.abs(delay[1000:]).max() < 0.04


def test_a_sender_that_falls_silent_is_concealed_for_a_while():
    line = Line()
    for i, now in on_time(10):
        line.put(i, now)
    line.run_to(60.0)
    assert line.heard == [*range(10)] + [None] * round(MAX_CONCEALMENT_S / PACKET_S)
    assert line.buffer.next_s() is None


def test_a_stream_goes_on_after_a_long_gap():
    line = Line().play([arrival for arrival in on_time(400) if not 50 <= arrival[0] < 250])
    concealed = round(MAX_CONCEALMENT_S / PACKET_S)
    assert line.heard == [*range(50)] + [None] * concealed + [*range(250, 400)]


def test_what_comes_after_the_end_is_not_missing():
    line = Line()
    for i, now in on_time(10):
        line.put(i, now)
    line.buffer.close()
    line.run_to(60.0)
    assert line.heard == [*range(10)]


def test_a_sender_that_begins_anew_is_heard_after_a_moment():
    line = Line().play(on_time(50))
    other = {"sequence": 30_000, "timestamp": 10**9}
    start = 50 * PACKET_S
    taken = [line.buffer.put(packet(i, **other), start + i * PACKET_S) for i in range(100)]
    strays = taken.index(True)
    assert strays == pytest.approx(RESTART_S / PACKET_S, abs=2)
    assert all(taken[strays:])
    assert (line.statistics.strays, line.statistics.restarts) == (strays, 1)
    heard = [slot.payload for slot in line.buffer.drain() if slot.payload]
    assert heard == [b"%d" % i for i in range(strays, 100)]


def test_a_packet_that_lies_about_its_time_is_outlived():
    """It says that packets last a moment only: so many are taken for missing at once that all which come are late."""
    line = Line(start_s=0.02)
    for i, now in on_time(120):
        line.put(i, now)
        if i == 20:
            line.buffer.put(RtpPacket(21, 20 * STEP + 1, 1, b"-1"), now)
    line.slots += line.buffer.drain()
    counts = line.statistics
    assert counts.restarts == 1 and counts.late == pytest.approx(RESTART_S / PACKET_S, abs=4)
    assert line.heard[-50:] == [*range(70, 120)]


@pytest.mark.parametrize(
    "stray",
    [
        RtpPacket(20_000, 60 * STEP, 1, b"-1"),  # a number far away
        RtpPacket(60, 2**31 + 9, 1, b"-1"),  # a time far away
        RtpPacket(60, 62 * STEP + 2 * CLOCK, 1, b"-1"),
        packet(-WINDOW - 1, 60),  # an old packet again
    ],
)
def test_strays_do_not_disturb_a_running_stream(stray):
    line = Line()
    for i, now in on_time(120):
        line.put(i, now)
        if 60 <= i < 100:
            assert not line.buffer.put(stray, now)
    line.slots += line.buffer.drain()
    assert line.heard == [*range(120)]
    assert (line.statistics.strays, line.statistics.expected) == (40, 120)


def test_one_false_time_does_not_move_the_schedule():
    line = Line()
    for i, now in on_time(400):
        if i == 200:
            line.buffer.put(RtpPacket(i, i * STEP + CLOCK, 1, b"%d" % i), now)
        line.put(i, now)
    line.slots += line.buffer.drain()
    assert line.heard == [*range(400)]


def test_no_flood_fills_the_memory():
    line, rng = Line(), np.random.default_rng(5)
    for i in range(20_000):
        sequence, timestamp = int(rng.integers(2**16)), int(rng.integers(2**32))
        line.buffer.put(RtpPacket(sequence, timestamp, 1, b"x"), i * 1e-4)
    for i in range(20_000):
        line.buffer.put(RtpPacket(i % 2**16, 0, 1, b"x"), 2 + i * 1e-4)
        assert len(line.buffer.pop(2 + i * 1e-4)) <= 2 * WINDOW
    assert len(line.buffer.drain()) <= 2 * WINDOW


@pytest.mark.parametrize("loss", [RandomLoss(0.3), GilbertLoss(0.3, 6)])
def test_any_network_gives_each_slot_once_and_in_order(loss):
    rng = np.random.default_rng(6)
    lost, late = loss.draw(2000, rng), RandomDelay(0.03).draw(2000, rng)
    line = Line(65_000, 2**32 - 1000).play((i, now + late[i]) for i, now in on_time(2000) if not lost[i])
    last = int(np.flatnonzero(~lost)[-1])
    first = int(np.flatnonzero(~lost)[0])
    assert len(line.slots) == last - first + 1
    assert all(found in (None, i) for i, found in enumerate(line.heard, first))
    assert line.heard.count(None) == line.statistics.late + int(lost[first:last].sum())


def test_the_same_arrivals_give_the_same_slots():
    late = RandomDelay(0.02).draw(500, np.random.default_rng(7))
    first, again = (Line().play((i, now + late[i]) for i, now in on_time(500)) for _ in range(2))
    assert (first.slots, first.times, first.statistics) == (again.slots, again.times, again.statistics)
