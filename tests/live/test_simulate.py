"""Simulated networks lose and delay as much as they say."""

import itertools
import math

import numpy as np
import pytest

from soundstream.errors import ConfigError
from soundstream.live.network.simulate import GilbertLoss, LossyLink, RandomDelay, RandomLoss, fates

COUNT = 40_000


def bursts(lost):
    """Lengths of the runs of lost packets."""
    return [len([*run]) for gone, run in itertools.groupby(lost.tolist()) if gone]


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3, 1.0])
def test_random_loss_has_its_rate_and_no_memory(rate):
    lost = RandomLoss(rate).draw(COUNT, np.random.default_rng(0))
    assert (lost.dtype, lost.shape) == (bool, (COUNT,))
    assert lost.mean() == pytest.approx(rate, abs=0.01)
    assert np.mean(lost[1:] & lost[:-1]) == pytest.approx(rate * rate, abs=0.01)


@pytest.mark.parametrize(("rate", "mean_burst"), [(0.1, 1.0), (0.1, 4.0), (0.5, 2.0), (0.02, 12.0), (0.0, 3.0)])
def test_gilbert_loss_has_its_rate_and_its_bursts(rate, mean_burst):
    lost = GilbertLoss(rate, mean_burst).draw(10 * COUNT, np.random.default_rng(1))
    assert lost.mean() == pytest.approx(rate, abs=0.01)
    assert np.mean(bursts(lost) or [mean_burst]) == pytest.approx(mean_burst, rel=0.05)


def test_the_first_packet_is_lost_as_often_as_any():
    rng = np.random.default_rng(2)
    first = [GilbertLoss(0.3, 5.0).draw(1, rng)[0] for _ in range(4000)]
    assert np.mean(first) == pytest.approx(0.3, abs=0.03)


def test_delays_have_their_mean():
    delays = RandomDelay(0.02).draw(COUNT, np.random.default_rng(3))
    assert delays.min() >= 0
    assert delays.mean() == pytest.approx(0.02, rel=0.03) == delays.std()
    assert not RandomDelay(0).draw(5, np.random.default_rng(3)).any()


@pytest.mark.parametrize("model", [RandomLoss(0.2), GilbertLoss(0.2, 3), RandomDelay(0.01)])
def test_the_same_seed_gives_the_same_network(model):
    first, again = (model.draw(100, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, model.draw(100, np.random.default_rng(5)))


def test_fates_go_on_without_end():
    rng = np.random.default_rng(6)
    found = [*itertools.islice(fates(RandomLoss(0.25), RandomDelay(0.01), rng), COUNT)]
    assert np.mean([fate is None for fate in found]) == pytest.approx(0.25, abs=0.01)
    assert np.mean([fate for fate in found if fate is not None]) == pytest.approx(0.01, rel=0.05)


def test_a_network_gives_back_what_it_does_not_lose_when_its_time_has_come():
    network = LossyLink(RandomLoss(0.2), RandomDelay(0.05), np.random.default_rng(7))
    for i in range(1000):
        network.put(b"%d" % i, i / 100)
    assert network.take(-1.0) == []
    arrived = []
    while (due := network.next_s) is not None:
        arrived += network.take(due)
        assert network.take(due) == []
    numbers = [int(datagram) for datagram in arrived]
    assert len(numbers) == len(set(numbers)) == 1000 - network.lost
    assert network.lost == pytest.approx(200, abs=40)
    assert numbers != sorted(numbers)


def test_a_network_without_faults_keeps_the_order():
    network = LossyLink(RandomLoss(0), RandomDelay(0), np.random.default_rng(8))
    for i in range(20):
        network.put(b"%d" % i, 1.0)
    assert network.take(1.0) == [b"%d" % i for i in range(20)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomLoss(-0.1),
        lambda: RandomLoss(1.1),
        lambda: RandomLoss(math.nan),
        lambda: GilbertLoss(0.1, 0.5),
        lambda: GilbertLoss(0.1, math.inf),
        lambda: GilbertLoss(0.8, 2.0),
        lambda: GilbertLoss(1.0, 2.0),
        lambda: RandomDelay(-1.0),
        lambda: RandomDelay(math.inf),
    ],
)
def test_a_network_that_cannot_be(make):
    with pytest.raises(ConfigError, match="expected"):
        make()
