"""Bad networks to try things on: which packets are lost, and how late the others are."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from soundstream.errors import ConfigError

_BLOCK = 4096  # packets drawn at once for a stream without end


class LossModel(Protocol):
    """Decides which packets a network loses."""

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """For each of `count` packets in order, True where it is lost."""
        ...


@dataclass(frozen=True)
class RandomLoss:
    """Each packet is lost with the same chance, whatever became of the others.

    Raises:
        ConfigError: rate is not 0 to 1.
    """

    rate: float
    """Share of packets that is lost, 0 to 1."""

    def __post_init__(self) -> None:
        _check("loss rate", self.rate, 0, 1)

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """For each of `count` packets in order, True where it is lost."""
        return rng.random(count) < self.rate


@dataclass(frozen=True)
class GilbertLoss:
    """Losses in bursts: a network that is good or bad, loses all while bad, and changes at random after any packet.

    Raises:
        ConfigError: rate is not 0 to 1, mean_burst below 1, or so many losses need longer bursts.
    Source: Gilbert, 1960, with all packets lost in the bad state and none in the good one.
    """

    rate: float
    """Share of packets that is lost in the long run, 0 to below 1."""
    mean_burst: float
    """Packets in a row that are lost, on average, 1 or more. Independent losses have 1 / (1 - rate)."""

    def __post_init__(self) -> None:
        _check("loss rate", self.rate, 0, 1)
        _check("mean burst", self.mean_burst, 1, math.inf)
        if self.rate > self.mean_burst / (self.mean_burst + 1):
            least = self.rate / (1 - self.rate) if self.rate < 1 else math.inf
            raise ConfigError(
                f"bursts of {self.mean_burst} packets on average cannot lose {self.rate} of all, "
                f"since a packet arrives between two bursts; expected a mean burst of at least {least:.2f}"
            )

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """For each of `count` packets in order, True where it is lost."""
        ends, begins = 1 / self.mean_burst, self.rate / ((1 - self.rate) * self.mean_burst)
        lost, bad = np.zeros(count, bool), bool(rng.random() < self.rate)
        for i, chance in enumerate(rng.random(count)):
            lost[i] = bad
            bad = chance >= ends if bad else chance < begins
        return lost


@dataclass(frozen=True)
class RandomDelay:
    """Each packet takes a time of its own, exponentially distributed, so that some overtake others.

    Raises:
        ConfigError: mean_s is negative or not finite.
    """

    mean_s: float
    """Seconds, mean and standard deviation alike; one in a hundred takes 4.6 times as long."""

    def __post_init__(self) -> None:
        _check("mean delay", self.mean_s, 0, 10)

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Seconds that each of `count` packets is on its way."""
        return rng.exponential(self.mean_s, count)


def fates(loss: LossModel, delay: RandomDelay, rng: np.random.Generator) -> Iterator[float | None]:
    """For one packet after the other without end: seconds that it is on its way, None if it is lost."""
    while True:
        lost, delays = loss.draw(_BLOCK, rng), delay.draw(_BLOCK, rng)
        yield from (None if gone else float(late_s) for gone, late_s in zip(lost, delays, strict=True))


class LossyLink:
    """A line that loses and delays what is put into it. Nothing here looks at a clock."""

    def __init__(self, loss: LossModel, delay: RandomDelay, rng: np.random.Generator) -> None:
        self._fates = fates(loss, delay, rng)
        self._underway: list[tuple[float, int, bytes]] = []
        self._count = 0
        self.lost = 0
        """Datagrams lost so far."""

    def put(self, datagram: bytes, now: float) -> None:
        """Send a datagram on its way at this time, in seconds."""
        delay_s = next(self._fates)
        if delay_s is None:
            self.lost += 1
            return
        heapq.heappush(self._underway, (now + delay_s, self._count, datagram))
        self._count += 1

    def take(self, now: float) -> list[bytes]:
        """Datagrams that have arrived by this time, in the order of arrival."""
        arrived = []
        while self._underway and self._underway[0][0] <= now:
            arrived.append(heapq.heappop(self._underway)[2])
        return arrived

    @property
    def next_s(self) -> float | None:
        """When the next one arrives; None if none is underway."""
        return self._underway[0][0] if self._underway else None


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high or math.isinf(value):
        raise ConfigError(f"{name} is {value}; expected a number from {low} to {high}")
