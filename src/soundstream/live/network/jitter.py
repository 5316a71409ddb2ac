"""Packets in any order and at any time to slots in order and in time: the jitter buffer.

A packet with timestamp t (in seconds) that arrives at a has been on its way for a - t, up to a constant that nobody
knows. Its time to be played comes at t + base + depth: base is about the shortest way of late, depth what most others
take longer, and one packet more, so that the one after a lost packet is there to help. Nothing here looks at a clock:
whoever calls says what time it is, in seconds on any clock that only moves forward.

Source: RFC 3550, A.1 (sequence numbers) and A.8 (jitter). Differs: depth follows a high quantile too, since delays
are seldom normal.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from soundstream.live.network.rtp import RtpPacket

WINDOW = 256
"""Packets before and after the next one that are taken for neighbours of it, and so the most that are held."""
MAX_CONCEALMENT_S = 1.0
"""After this much in a row was concealed, nothing is asked for until a packet arrives."""
RESTART_S = 0.5
"""Packets that do not fit the stream are strays, unless none came in time for so long: then it began anew."""
MAX_SHIFT_S = 1.5
"""A packet that takes so much longer or shorter than the base does not fit either."""
_TRANSITS = 500  # ways of packets that base and depth are computed from
_TRUSTED = 50  # ways that must be known before depth may be less than at the start
_BASE, _HIGH = 0.02, 0.99  # quantiles; the lower one is not the least, which a single false timestamp could set
_FALL = 0.02  # seconds that depth shrinks by in a second
_MAX_STEP_S = 0.25  # longer steps between two packets are pauses


@dataclass
class Statistics:
    """What became of the packets of a stream, and of the datagrams beside it."""

    expected: int = 0
    """Packets that the sender numbered, as far as we know."""
    received: int = 0
    """Of these, those that arrived, each counted once."""
    late: int = 0
    """Arrived after their time: they were concealed already."""
    reordered: int = 0
    """Arrived after one that was sent later."""
    duplicates: int = 0
    """Arrived again."""
    concealed: int = 0
    """Slots without a packet."""
    undecodable: int = 0
    """Slots whose packet the decoder refused."""
    strays: int = 0
    """Numbered or timed far away from the stream."""
    restarts: int = 0
    """Times that the sender began anew under the same name."""
    foreign: int = 0
    """RTP of other streams, senders or payload types."""
    malformed: int = 0
    """Datagrams that are neither RTP nor RTCP, or hold no live packet."""
    payload_bytes: int = 0
    """Of received packets."""
    jitter_ms: float = 0.0
    """Inter-arrival jitter as RFC 3550 computes it."""
    depth_ms: float = 0.0
    """How long a packet that came on the shortest way is held."""

    @property
    def lost(self) -> int:
        """Packets that never arrived."""
        return max(0, self.expected - self.received)

    @property
    def loss_rate(self) -> float:
        """Share of expected packets that never arrived, 0 to 1."""
        return self.lost / self.expected if self.expected else 0.0


@dataclass(frozen=True)
class Slot:
    """One packet's place in the stream, as a decoder takes it."""

    payload: bytes | None
    """None: the packet is missing."""
    following: bytes | None = None
    """The payload after a missing one, if it is there already."""


class Delay:
    """How long packets are on their way, and how long each is held so that late ones are still in time.

    Args:
        start_s: depth until the network is known.
        min_s, max_s: bounds of the depth.
    """

    def __init__(self, start_s: float, min_s: float, max_s: float) -> None:
        self._min_s, self._max_s = min_s, max_s
        self._start_s = self.depth_s = self._bounded(start_s)
        self._transits: deque[float] = deque(maxlen=_TRANSITS)
        self._base_s = 0.0
        self._changed_s = -math.inf
        self.jitter_s = 0.0

    def fits(self, transit_s: float) -> bool:
        """Whether a packet of the same stream could have taken so long."""
        return not self._transits or abs(transit_s - self._base_s) < MAX_SHIFT_S

    def observe(self, transit_s: float, packet_s: float, now: float) -> None:
        """Learn from a packet that arrived: base and depth follow, a larger depth at once, a smaller one slowly."""
        if self._transits:
            self.jitter_s += (abs(transit_s - self._transits[-1]) - self.jitter_s) / 16
        self._transits.append(transit_s)
        ways = sorted(self._transits)
        self._base_s = ways[int(_BASE * len(ways))]
        spread_s = ways[int(_HIGH * len(ways))] - self._base_s
        wanted_s = self._bounded(packet_s + max(spread_s, 2 * self.jitter_s))
        if len(ways) < _TRUSTED:
            wanted_s = max(wanted_s, self._start_s)
        self.depth_s = max(wanted_s, self.depth_s - _FALL * (now - self._changed_s))
        self._changed_s = now

    def due_s(self, time_s: float) -> float:
        """When what was sent at `time_s`, by the sender's clock, is to be played."""
        return time_s + self._base_s + self.depth_s

    def _bounded(self, depth_s: float) -> float:
        return min(max(depth_s, self._min_s), self._max_s)


class JitterBuffer:
    """Holds the packets of one stream until their time, WINDOW of them at most.

    Args:
        clock_rate: ticks of the timestamps in a second.
        statistics: counts what becomes of packets.
        start_s: depth until the network is known.
        min_s, max_s: bounds of the depth.
    """

    def __init__(
        self,
        clock_rate: int,
        statistics: Statistics,
        start_s: float = 0.06,
        min_s: float = 0.02,
        max_s: float = 1.0,
    ) -> None:
        self._clock_rate = clock_rate
        self._statistics = statistics
        self._depths = start_s, min_s, max_s
        self._ready: list[Slot] = []
        self._fitting_s = -math.inf
        self._started = self._closed = False
        self._begin(0, 0)

    def put(self, packet: RtpPacket, now: float) -> bool:
        """Take a packet as it arrives; True if it is one of the stream that had not come before, even if it is late."""
        sequence = _unwrap(packet.sequence, self._next, 16)
        timestamp = _unwrap(packet.timestamp, self._next_timestamp, 32)
        transit_s = now - timestamp / self._clock_rate
        if not self._started or abs(sequence - self._next) > WINDOW or not self._delay.fits(transit_s):
            if now - self._fitting_s < RESTART_S:
                self._statistics.strays += 1
                return False
            self._restart(sequence, timestamp)
        if not self._is_new(sequence):
            return False
        if self._is_past(sequence) and now - self._fitting_s >= RESTART_S:
            self._restart(sequence, timestamp)
        if not self._is_past(sequence):
            self._fitting_s = now
        self._delay.observe(transit_s, self._step / self._clock_rate, now)
        self._count(sequence, packet)
        self._keep(sequence, timestamp, packet.payload)
        return True

    def pop(self, now: float) -> list[Slot]:
        """Slots whose time has come, in order."""
        slots, self._ready = self._ready, []
        while (due_s := self.next_s()) is not None and due_s <= now:
            slots.append(self._release())
        return slots

    def next_s(self) -> float | None:
        """When `pop` will have a slot, if no packet arrives before; None: not without one."""
        if self._ready:
            return -math.inf
        if not self._packets and (not self._started or self._closed or self._run >= self._max_run):
            return None
        timestamp, _ = self._packets.get(self._next, (self._next_timestamp, b""))
        return self._delay.due_s(timestamp / self._clock_rate)

    def close(self) -> None:
        """The sender has ended the stream: what is behind its last packet is not missing."""
        self._closed = True

    def drain(self) -> list[Slot]:
        """All slots up to the last packet, whether their time has come or not."""
        slots, self._ready = self._ready, []
        while self._packets:
            slots.append(self._release())
        return slots

    def _restart(self, sequence: int, timestamp: int) -> None:
        self._ready = self.drain()
        self._statistics.restarts += self._started
        self._statistics.expected += 1
        self._started = True
        self._begin(sequence, timestamp)

    def _begin(self, sequence: int, timestamp: int) -> None:
        """Expect this packet next, and know nothing of others."""
        self._released = False
        self._next = self._first = self._highest = sequence
        self._next_timestamp = timestamp
        self._newest = sequence, timestamp
        self._step = self._run = 0
        self._packets: dict[int, tuple[int, bytes]] = {}
        self._missed: deque[int] = deque(maxlen=WINDOW)
        self._delay = Delay(*self._depths)

    def _is_new(self, sequence: int) -> bool:
        """Whether a packet has not come before; counts it if it has."""
        known = sequence in self._packets or (self._is_past(sequence) and sequence not in self._missed)
        self._statistics.duplicates += known
        return not known

    def _is_past(self, sequence: int) -> bool:
        return self._released and sequence < self._next

    def _count(self, sequence: int, packet: RtpPacket) -> None:
        counts = self._statistics
        counts.received += 1
        counts.payload_bytes += len(packet.payload)
        counts.expected += max(0, sequence - self._highest) + max(0, self._first - sequence)
        counts.reordered += sequence < self._highest
        self._highest, self._first = max(self._highest, sequence), min(self._first, sequence)
        counts.jitter_ms = round(1000 * self._delay.jitter_s, 2)
        counts.depth_ms = round(1000 * self._delay.depth_s, 2)

    def _keep(self, sequence: int, timestamp: int, payload: bytes) -> None:
        self._measure_step(sequence, timestamp)
        if self._is_past(sequence):
            self._statistics.late += 1
            self._missed.remove(sequence)
            return
        self._packets[sequence] = timestamp, payload
        if not self._released:
            self._next = min(self._next, sequence)
        self._leave_hole()

    def _measure_step(self, sequence: int, timestamp: int) -> None:
        """Learn the ticks of a packet from two that arrive one after the other."""
        packets, ticks = sequence - self._newest[0], timestamp - self._newest[1]
        if packets > 0 and 0 < ticks <= _MAX_STEP_S * self._clock_rate * packets:
            self._step = ticks // packets
        self._newest = sequence, timestamp

    def _release(self) -> Slot:
        timestamp, payload = self._packets.pop(self._next, (self._next_timestamp, None))
        following = None
        if payload is None:
            _, following = self._packets.get(self._next + 1, (0, None))
            self._missed.append(self._next)
            self._statistics.concealed += 1
        self._run = self._run + 1 if payload is None else 0
        self._released = True
        self._next, self._next_timestamp = self._next + 1, timestamp + self._step
        self._leave_hole()
        return Slot(payload, following)

    @property
    def _max_run(self) -> int:
        """Slots in a row that may be concealed."""
        ticks = round(MAX_CONCEALMENT_S * self._clock_rate)
        return min(WINDOW, ticks // self._step) if self._step else WINDOW // 4

    def _leave_hole(self) -> None:
        """After a long concealment go on where the next packet is, without the rest of what is missing."""
        if self._run >= self._max_run and self._packets:
            self._next = min(self._packets)


def _unwrap(value: int, near: int, bits: int) -> int:
    """The number nearest to `near` that ends in these bits."""
    half = 1 << bits - 1
    return near + (value - near + half) % (1 << bits) - half
