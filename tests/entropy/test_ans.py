"""The coder under both entropy modes: what comes back, what it costs, and what it notices."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstream.entropy.ans import Decoder, Decoders, encode
from soundstream.entropy.bounds import TOTAL
from soundstream.errors import CodesMismatch


def random_places(count, seed, symbols=50):
    """Starts and frequencies of `count` symbols, each drawn from a table of its own with its own probabilities."""
    rng = np.random.default_rng(seed)
    places = []
    for _ in range(count):
        widths = 1 + rng.multinomial(TOTAL - symbols, rng.dirichlet(np.full(symbols, 0.3)))
        symbol = rng.choice(symbols, p=widths / TOTAL)
        places.append((int(widths[:symbol].sum()), int(widths[symbol])))
    return places


def decode(payload, places, check):
    decoder = Decoder(payload)
    for start, width in places:
        assert start <= decoder.slot < start + width
        decoder.take(start, width)
    decoder.finish(check)


@given(st.integers(0, 40), st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1))
def test_symbols_come_back(count, seed, check):
    places = random_places(count, seed)
    decode(encode(*zip(*places, strict=True), check) if places else encode([], [], check), places, check)


@given(
    st.lists(st.tuples(st.integers(0, TOTAL - 1), st.integers(1, TOTAL - 1)), max_size=30),
    st.integers(0, 2**16 - 1),
)
def test_the_rarest_and_the_surest_symbols_come_back(drawn, check):
    places = [(min(start, TOTAL - width), width) for start, width in drawn]
    decode(encode([start for start, _ in places], [width for _, width in places], check), places, check)


def test_cost_is_within_a_tenth_of_a_percent_of_ideal():
    places = random_places(4_000, seed=1)
    ideal = sum(math.log2(TOTAL / width) for _, width in places)
    spent = 8 * len(encode(*zip(*places, strict=True), 0))
    assert ideal <= spent < ideal * 1.001 + 16


def test_a_short_payload_costs_its_ideal_its_check_and_a_byte():
    excess = []
    for seed in range(200):
        places, check = random_places(4, seed), 40_000 + 100 * seed
        ideal = sum(math.log2(TOTAL / width) for _, width in places) + 16
        excess.append(8 * len(encode(*zip(*places, strict=True), check)) - ideal)
    assert np.mean(excess) < 8


def test_nothing_takes_only_its_check():
    assert encode([], [], 0) == b""
    assert encode([], [], 0x1234) == b"\x12\x34"


def test_another_check_is_noticed():
    payload = encode([5], [10], 1)
    decoder = Decoder(payload)
    decoder.take(5, 10)
    with pytest.raises(CodesMismatch, match="do not match their checksum"):
        decoder.finish(2)


@pytest.mark.parametrize("more", [b"\0", b"abcdefgh"])
def test_bytes_left_over_are_noticed(more):
    places = random_places(50, seed=2)
    decoder = Decoder(encode(*zip(*places, strict=True), 7) + more)
    for start, width in places:
        decoder.take(start, width)
    with pytest.raises(CodesMismatch):
        decoder.finish(7)


@given(st.binary(max_size=60), st.integers(0, 2**32 - 1))
def test_any_bytes_decode_to_something_or_are_refused(payload, seed):
    decoder = Decoder(payload)
    for start, width in random_places(20, seed):
        decoder.take(start, width)
    with pytest.raises(CodesMismatch):
        decoder.finish(-1)


@given(
    payloads=st.lists(
        st.one_of(st.binary(max_size=60), st.binary(max_size=20).map(lambda b: bytes(9) + b)), max_size=5
    ),
    seed=st.integers(0, 2**32 - 1),
    check=st.integers(0, 2**16 - 1),
)
def test_many_payloads_at_once_give_what_each_gives_alone(payloads, seed, check):
    """The symbols of a step are as wide as each other; where they lie follows from the payloads."""
    widths = np.random.default_rng(seed).integers(1, 2**17, 20).tolist()
    payloads = [*payloads, encode([0] * 20, widths, check)]
    together, alone = Decoders(payloads), [Decoder(payload) for payload in payloads]
    for width in widths:
        slots = np.array([decoder.slot for decoder in alone])
        np.testing.assert_array_equal(together.slots(), slots)
        starts = slots // width * width
        together.take(starts, np.full(len(alone), width))
        for decoder, start in zip(alone, starts.tolist(), strict=True):
            decoder.take(start, width)
    together.finish(len(alone) - 1, check)
    for i, decoder in enumerate(alone):
        assert finishes(together.finish, i, check) == finishes(decoder.finish, check)


def finishes(finish, *args):
    try:
        finish(*args)
    except CodesMismatch:
        return False
    return True
