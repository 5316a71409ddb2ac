"""Counts kept across a file."""

import numpy as np
import pytest

import entropy_tables
from benchmarks.adaptive_counts import PRIOR, adaptive_bits
from soundstream.entropy.bounds import TOTAL
from soundstream.entropy.context import ContextModel

SHAPE = (2, 16, 4)
TABLES = entropy_tables.tables(shape=SHAPE)
MODEL = ContextModel(TABLES, np.random.default_rng(0).normal(size=SHAPE).astype(np.float32))


def packets(count, frames=50, constant=False, seed=1):
    drawn = np.random.default_rng(seed).integers(0, SHAPE[1], (count, 1, SHAPE[0], frames))
    return list(drawn * 0 + 3 if constant else drawn)


def test_the_first_code_costs_what_fixed_frequencies_say_and_the_next_one_less():
    code = np.full((1, 1, 1), 3)
    share = TABLES.static[0, 3] / TOTAL
    first, two = (adaptive_bits([np.repeat(code, n, axis=2)], TABLES, MODEL)[0] for n in (1, 2))
    assert first == pytest.approx(-np.log2(share))
    assert two - first == pytest.approx(-np.log2((PRIOR * share + 1) / (PRIOR + 1)))


def test_counts_go_on_from_packet_to_packet():
    parts = packets(4, frames=100)
    joined = [np.concatenate(parts, axis=2)]
    assert adaptive_bits(parts, TABLES, MODEL)[0] == pytest.approx(adaptive_bits(joined, TABLES, MODEL)[0])


def test_counts_learn_what_context_does_not_know():
    monotonous = packets(200, constant=True)
    early, late = (adaptive_bits(monotonous[:n], TABLES, MODEL) for n in (100, 200))
    for few, many in zip(early, late, strict=True):
        assert many < 1.6 * few
