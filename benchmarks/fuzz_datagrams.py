"""Hostile datagrams by the million at a receiver that hears a stream: none is fatal, and the stream goes on.

    python -m benchmarks.fuzz_datagrams --datagrams 1000000 -o docs/results/udp_fuzz.json

A stream goes over real sockets of this machine's loopback in real time, and beside it as many other datagrams as the
receiver can look at: of strangers, and, in a second run, of a forger who sends in the stream's own name.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from soundstream.bitstream.live import LIVE_SEQUENCES
from soundstream.codec import Codec, load
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.live.network.jitter import Statistics
from soundstream.live.network.rtp import Packetizer
from soundstream.live.network.udp import Receiver, Reception, connect, listen

PER_PACKET = 400
"""Hostile datagrams to each packet of the stream."""
CALM = 225
"""Packets of the stream after the last hostile one, three seconds of them; the last third should be heard."""
FORGED_SHARE = 0.2
"""Share of the datagrams that a forger sends; the rest are a run of their own."""
SENDERS = "strangers", "forger"
"""Who sends the hostile datagrams of the two runs."""
_KEPT = 64  # packets of the stream that are known to those who change or repeat them
_MAX_LENGTH = 20_000
_PATIENCE_S = 0.1


@dataclass
class Report:
    """What a run found."""

    forged: bool
    """Whether datagrams came in the stream's own name too."""
    hostile: int = 0
    """Datagrams that do not belong to the stream."""
    unseen: int = 0
    """Of all, those that the receiver counted nowhere: harmless reports, and what the system dropped in a rush."""
    sent: int = 0
    """Packets of the stream."""
    seconds: float = 0.0
    samples: int = 0
    """Of sound that came out, each channel."""
    failures: int = 0
    """Exceptions that ended the receiver."""
    heard_when_calm: int = 0
    """Of the last third of the packets that came after the last hostile datagram, those that came in time."""
    memory_growth_mb: float = 0.0
    """Rise of the highest resident memory during the run."""


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The datagram with one to three changes."""
    body = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        kind, at = rng.integers(4), int(rng.integers(len(body) + 1))
        if kind == 0 and at < len(body):
            body[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del body[at:]
        elif kind == 2:
            body[at:at] = rng.bytes(int(rng.integers(1, 30)))
        else:
            body[at : at + 2] = rng.bytes(2)
    return bytes(body)


class Attack:
    """Hostile datagrams, made of those of the stream or of nothing."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.known: deque[bytes] = deque(maxlen=_KEPT)
        """Packets of the stream, as overheard."""
        self._rival = Packetizer(1)

    def stranger(self) -> bytes:
        """From anywhere else: all that can be thought of."""
        kind = self._rng.integers(8)
        if kind == 0:
            return self._rng.bytes(int(self._rng.integers(_MAX_LENGTH)))
        if kind == 1:
            return mutated(self._rival.goodbye(time.time()), self._rng)
        if kind == 2:
            return self._rival.pack(self._rng.bytes(int(self._rng.integers(40))))
        return self.forger() if kind < 6 else self.noise()

    def noise(self) -> bytes:
        """From the stream's own address, but without its name: random bytes, or packets again."""
        if self._rng.integers(2):
            return self._any()
        return self._rng.bytes(int(self._rng.integers(80)))

    def forger(self) -> bytes:
        """A changed packet of the stream."""
        return mutated(self._any(), self._rng)

    def _any(self) -> bytes:
        return self.known[int(self._rng.integers(len(self.known)))]


class _Line:
    """One stream at a receiver, and others who send to it."""

    def __init__(self, codec: Codec, inward: socket.socket, report: Report) -> None:
        self._report = report
        self._step_s = codec.spec.hop_length / codec.spec.sample_rate
        self._reception = Reception(codec.spec.sample_rate, idle_s=10.0)
        self._receiver = Receiver(inward, self._reception, codec.open_decoder(codec.spec.sample_rate))
        self._payloads = cycle(_payloads(codec))
        self._stream = Packetizer(codec.spec.hop_length)
        self._friend, self._foe = (connect(*inward.getsockname()) for _ in range(2))
        self._sent = self._given_up = 0

    def run(self, attack: Attack, rounds: int) -> None:
        """Send the whole stream, hostile datagrams beside it, and then some calm."""
        start_s = time.monotonic()
        with self._friend, self._foe, ThreadPoolExecutor(1) as pool:
            heard = pool.submit(self._listen)
            for i in range(rounds + CALM):
                time.sleep(max(0.0, start_s + i * self._step_s - time.monotonic()))
                if i == rounds + CALM * 2 // 3:
                    before = self._in_time()
                self._packet(attack)
                if 2 <= i < rounds:
                    self._bombard(attack)
                if i:  # the first packet is not counted before the second
                    self._wait(heard)
            self._report.heard_when_calm = self._in_time() - before
            self._friend.send(self._stream.goodbye(time.time()))
            self._report.failures += heard.exception() is not None
        self._report.samples, self._report.unseen = self._receiver.samples, self._given_up
        self._report.seconds = round(time.monotonic() - start_s, 1)

    @property
    def statistics(self) -> Statistics:
        return self._reception.statistics

    def _listen(self) -> None:
        for _ in self._receiver:
            pass

    def _packet(self, attack: Attack) -> None:
        attack.known.append(self._stream.pack(next(self._payloads)))
        self._send(self._friend, attack.known[-1])
        self._report.sent += 1

    def _bombard(self, attack: Attack) -> None:
        own = attack.forger if self._report.forged else attack.noise
        for i in range(PER_PACKET):
            self._send(*((self._foe, attack.stranger()) if i % 2 else (self._friend, own())))
        self._report.hostile += PER_PACKET

    def _send(self, sock: socket.socket, data: bytes) -> None:
        sock.send(data)
        self._sent += 1

    def _in_time(self) -> int:
        return self.statistics.received - self.statistics.late

    def _wait(self, heard: Future[None]) -> None:
        """Until the receiver has counted all that was sent, or seems not to count some of it."""
        end_s = time.monotonic() + _PATIENCE_S
        while (missing := self._sent - _counted(self.statistics)) > self._given_up and not heard.done():
            if time.monotonic() > end_s:
                self._given_up = missing
            time.sleep(0.0005)


def _counted(counts: Statistics) -> int:
    return counts.received + counts.duplicates + counts.strays + counts.foreign + counts.malformed


def _payloads(codec: Codec) -> list[bytes]:
    """Live packets that can go round and round."""
    pcm = np.random.default_rng(0).normal(0, 0.1, (1, (LIVE_SEQUENCES + 2) * codec.spec.hop_length))
    encoder = codec.open_encoder(codec.spec.sample_rate, bitrate=codec.spec.bitrate(1), redundancy=1)
    return list(islice(encoder.push(pcm.astype(np.float32)), LIVE_SEQUENCES))


def bombard(codec: Codec, datagrams: int, forged: bool, seed: int = 0) -> tuple[Report, Statistics]:
    """Send about so many hostile datagrams beside a stream to a receiver; all on loopback."""
    report, memory = Report(forged), _memory_mb()
    with listen("127.0.0.1", 0) as inward:
        line = _Line(codec, inward, report)
        line.run(Attack(np.random.default_rng((seed, forged))), 2 + -(-datagrams // PER_PACKET))
    report.memory_growth_mb = round(_memory_mb() - memory, 1)
    return report, line.statistics


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Both runs, and their report; exit 1 after failures."""
    parser = argparse.ArgumentParser(description="Send hostile datagrams to a receiver on loopback.")
    parser.add_argument("--datagrams", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="default")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    codec = load(args.model)
    forged = round(FORGED_SHARE * args.datagrams)
    runs = [
        bombard(codec, args.datagrams - forged, False, args.seed),
        bombard(codec, forged, True, args.seed),
    ]
    found = [{"by": SENDERS[report.forged]} | asdict(report) | {"counts": asdict(counts)} for report, counts in runs]
    report = provenance(codec.model_id.hex(), "noise, and datagrams made up or changed") | {"runs": found}
    print(json.dumps(report, indent=1))
    if args.output:
        write_report(args.output, report)
    if any(report.failures for report, _ in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
