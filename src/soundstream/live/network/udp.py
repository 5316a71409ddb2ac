"""Live packets over UDP: a sender that keeps time, and a receiver that trusts no datagram."""

from __future__ import annotations

import math
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from soundstream.arrays import Array
from soundstream.bitstream.live import LivePacket
from soundstream.errors import BitstreamError, ConfigError, ModelMismatch
from soundstream.live.decoder import LiveDecoder
from soundstream.live.encoder import LiveEncoder
from soundstream.live.network.jitter import WINDOW, JitterBuffer, Slot, Statistics
from soundstream.live.network.rtp import PAYLOAD_TYPE, Form, Packetizer, RtpPacket, goodbyes, is_control
from soundstream.live.network.simulate import LossyLink
from soundstream.runtime.models import name_of_model

Address = tuple[Any, ...]
"""As the socket module gives it: host, port, and more with IPv6."""

MAX_CANDIDATES = 8
"""Senders that are remembered before one of them is heard."""
_MAX_DATAGRAM = 10_000  # what is longer is cut here, and refused
_AT_ONCE = 64  # datagrams that are read before sound is looked after again
_MAX_WAIT_S = 0.1
_REPORT_S = 5.0
_GOODBYES = 3
_RECEIVE_BUFFER = 1 << 20


class Reception:
    """Datagrams of anyone to the slots of one stream.

    The first sender of whom two packets follow on one another is heard until its stream ends; what others send is
    counted and dropped. Nothing here reads a clock or a socket.

    Args:
        clock_rate: ticks of the timestamps in a second.
        idle_s: the stream is over when its sender was silent for so long.
        min_s: least time that packets are held.
        sender: the only host to listen to, as a numeric address; None is any.
        form: what the stream must be made of, where its packets say so; None is anything.
        begins_s: the time from which the first packet is waited for, `idle_s` too; None is without an end.
    """

    def __init__(
        self,
        clock_rate: int,
        *,
        idle_s: float = 2.0,
        min_s: float = 0.02,
        sender: str | None = None,
        form: Form | None = None,
        begins_s: float | None = None,
    ) -> None:
        self.statistics = Statistics()
        self._buffer = JitterBuffer(clock_rate, self.statistics, min_s=min_s)
        self._idle_s = idle_s
        self._sender = sender
        self._form = form
        self._candidates: dict[tuple[Address, int], tuple[RtpPacket, float]] = {}
        self._peer: tuple[Address, int] | None = None
        self._heard_s = math.inf if begins_s is None else begins_s
        self._closed = False

    def take(self, data: bytes, address: Address, now: float) -> None:
        """A datagram has come, whatever it is.

        Raises:
            ModelMismatch: it is of the stream that is heard, and says that it is made of something else.
        """
        try:
            if is_control(data):
                self._take_control(goodbyes(data), address)
            else:
                packet = RtpPacket.from_bytes(data)
                LivePacket.from_bytes(packet.payload)
                self._take_packet(packet, address, now)
        except ModelMismatch:
            raise
        except BitstreamError:
            self.statistics.malformed += 1

    def pop(self, now: float) -> list[Slot]:
        """Slots whose time has come."""
        return self._buffer.pop(now)

    def next_s(self) -> float | None:
        """When `pop` will have a slot, if nothing comes before; None: not without a packet."""
        return self._buffer.next_s()

    def drain(self) -> list[Slot]:
        """All slots that are left."""
        return self._buffer.drain()

    def is_over(self, now: float) -> bool:
        """Whether the stream has ended: its sender said so and all of it was popped, or has been silent."""
        return now - self._heard_s > self._idle_s or (self._closed and self._buffer.next_s() is None)

    def _take_control(self, ended: set[int], address: Address) -> None:
        if self._peer is None:
            return
        if self._peer[0] != address:
            self.statistics.foreign += 1
        elif self._peer[1] in ended:
            self._closed = True
            self._buffer.close()

    def _take_packet(self, packet: RtpPacket, address: Address, now: float) -> None:
        key = address, packet.ssrc
        if packet.payload_type != PAYLOAD_TYPE or self._sender not in (None, address[0]):
            self.statistics.foreign += 1
        elif self._peer is None:
            self._consider(packet, key, now)
        elif self._peer != key:
            self.statistics.foreign += 1
        elif self._buffer.put(packet, now):
            self._check_form(packet)
            self._heard_s = now

    def _consider(self, packet: RtpPacket, key: tuple[Address, int], now: float) -> None:
        """Listen to the sender of this packet if an earlier one of its stream is known, else remember it."""
        before = self._candidates.pop(key, None)
        if before and 1 <= (packet.sequence - before[0].sequence) % 2**16 <= WINDOW:
            for one in (before[0], packet):
                self._check_form(one)
            self._peer, self._heard_s = key, now
            self._buffer.put(*before)
            self._buffer.put(packet, now)
            self.statistics.foreign += len(self._candidates)
            self._candidates = {}
            return
        self._candidates[key] = packet, now
        self.statistics.foreign += before is not None
        if len(self._candidates) > MAX_CANDIDATES:
            del self._candidates[next(iter(self._candidates))]
            self.statistics.foreign += 1

    def _check_form(self, packet: RtpPacket) -> None:
        ours, theirs = self._form, packet.form
        if ours is None or theirs is None or ours == theirs:
            return
        raise ModelMismatch(
            f"the sender has {_described(theirs)}; here it is {_described(ours)}: give both sides the same"
        )


def _described(form: Form) -> str:
    name = name_of_model(form.model_id)
    channels = "1 channel" if form.channels == 1 else f"{form.channels} channels"
    return f"model {form.model_id.hex()}{f' ({name})' if name else ''} and {channels}"


class Receiver:
    """Sound of one stream as it comes over a socket.

    Args:
        stopped: says whether to end before the stream does; asked every tenth of a second.
    """

    def __init__(
        self,
        sock: socket.socket,
        reception: Reception,
        decoder: LiveDecoder,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._reception = reception
        self._decoder = decoder
        self._stopped = stopped
        self.samples = 0
        """Of each channel, given so far."""

    def __iter__(self) -> Iterator[Array]:
        """Yield pcm `[channels, samples]` whenever some is due, to the end of the stream, and its tail at once."""
        while not self._reception.is_over(time.monotonic()) and not self._stopped():
            self._listen()
            yield from self._sounds(self._reception.pop(time.monotonic()))
        yield from self._sounds(self._reception.drain())
        yield self._counted(self._decoder.flush())

    def _listen(self) -> None:
        """Wait until something is due or has come, and take what has come."""
        now, next_s = time.monotonic(), self._reception.next_s()
        wait_s = _MAX_WAIT_S if next_s is None else min(_MAX_WAIT_S, max(0.0, next_s - now))
        if not select.select([self._socket], [], [], wait_s)[0]:
            return
        for _ in range(_AT_ONCE):
            try:
                data, address = self._socket.recvfrom(_MAX_DATAGRAM)
            except OSError:  # nothing more, or a message about a datagram of ours, and we send none
                return
            self._reception.take(data, address, time.monotonic())

    def _sounds(self, slots: Iterable[Slot]) -> Iterator[Array]:
        for slot in slots:
            yield self._counted(decode(slot, self._decoder, self._reception.statistics))

    def _counted(self, pcm: Array) -> Array:
        self.samples += pcm.shape[1]
        return pcm


def decode(slot: Slot, decoder: LiveDecoder, statistics: Statistics) -> Array:
    """Sound of a slot; what cannot be decoded is counted and concealed."""
    if slot.payload is not None:
        try:
            return decoder.push(slot.payload)
        except BitstreamError:
            statistics.undecodable += 1
    try:
        return decoder.push(None, slot.following)
    except BitstreamError:
        return decoder.push(None)


@dataclass
class Sent:
    """What a sender did."""

    packets: int = 0
    """Numbered, the simulated losses included."""
    payload_bytes: int = 0
    simulated_losses: int = 0
    failed: int = 0
    """Datagrams that the system refused to send, such as where nobody listens on the same machine."""
    duration_s: float = 0.0
    """Of the sound."""


class Sender:
    """One stream to one address.

    Args:
        sock: a connected UDP socket.
        network: what happens to packets before they reach the socket.
    """

    def __init__(self, sock: socket.socket, packetizer: Packetizer, network: LossyLink) -> None:
        self._socket = sock
        self._packetizer = packetizer
        self._network = network
        self._report_s = -math.inf
        self._failed = 0

    def send(self, payload: bytes) -> None:
        """Send the next live packet now, and a report when it is time for one."""
        now = time.monotonic()
        self._network.put(self._packetizer.pack(payload), now)
        self._transmit(self._network.take(now))
        if now - self._report_s >= _REPORT_S:
            self._report_s = now
            self._transmit([self._packetizer.report(time.time())])

    def wait_until(self, time_s: float) -> None:
        """Sleep until then on the monotonic clock, if it is not past, while delayed packets go out in time."""
        while (now := time.monotonic()) < time_s:
            self._transmit(self._network.take(now))
            next_s = self._network.next_s
            time.sleep(max(0.0, min(time_s, math.inf if next_s is None else next_s) - time.monotonic()))

    def close(self) -> None:
        """Send what is still delayed and say goodbye, more than once since it may be lost."""
        while (next_s := self._network.next_s) is not None:
            self.wait_until(next_s)
            self._transmit(self._network.take(time.monotonic()))
        for _ in range(_GOODBYES):
            self._transmit([self._packetizer.goodbye(time.time())])

    @property
    def sent(self) -> Sent:
        """Counts so far; the duration is the caller's to fill in."""
        return Sent(self._packetizer.packets, self._packetizer.payload_bytes, self._network.lost, self._failed)

    def _transmit(self, datagrams: Iterable[bytes]) -> None:
        for datagram in datagrams:
            try:
                self._socket.send(datagram)
            except OSError:
                self._failed += 1


def transmit(
    pieces: Iterable[Array],
    encoder: LiveEncoder,
    sender: Sender,
    *,
    paced: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> Sent:
    """Send sound as live packets until it ends, then say goodbye.

    Args:
        pieces: pcm `[channels, samples]`.
        paced: hold each piece back until the time at which its last sample would come from a microphone.
        stopped: says whether to end before the sound does; asked at every piece.
    """
    start_s, samples = None, 0
    for pcm in pieces:
        start_s = time.monotonic() if start_s is None else start_s
        if stopped():
            break
        samples += pcm.shape[1]
        if paced:
            sender.wait_until(start_s + samples / encoder.sample_rate)
        for packet in encoder.push(pcm):
            sender.send(packet)
    for packet in encoder.flush():
        sender.send(packet)
    sender.close()
    sent = sender.sent
    sent.duration_s = round(samples / encoder.sample_rate, 3)
    return sent


def listen(host: str, port: int) -> socket.socket:
    """A UDP socket that takes datagrams for this address; port 0 is any free one.

    Raises:
        ConfigError: the address is not this machine's, or the port is taken or reserved.
    """
    return _open(host, port, "listen on", socket.socket.bind)


def connect(host: str, port: int) -> socket.socket:
    """A UDP socket that sends to this address.

    Raises:
        ConfigError: the host is unknown or cannot be reached from here.
    """
    return _open(host, port, "send to", socket.socket.connect)


def _open(host: str, port: int, what: str, use: Callable[[socket.socket, Address], None]) -> socket.socket:
    sock = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        use(sock, address)
    except OSError as error:
        if sock:
            sock.close()
        raise ConfigError(f"cannot {what} {host} port {port}: {error.strerror}") from error
    return sock
