import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundstream.codec.payloads import coded_counts
from soundstream.codec.vbr import MIN_QUANTIZERS, Costs, allocate, packet_counts, quality_for, residual_energy
from soundstream.spec import Codebook, CodecSpec, Importance


def test_errors_fall_to_what_the_codebooks_leave():
    rng = np.random.default_rng(0)
    codebooks = rng.normal(0, 1, (3, 16, 4)).astype(np.float32)
    codes = rng.integers(0, 16, (2, 3, 5))
    latents = sum(codebooks[q][codes[:, q]] for q in range(3)).transpose(0, 2, 1)
    found = residual_energy(latents, codes, codebooks)
    assert found.shape == (3,) and found[2] < 1e-10 < found[1]
    np.testing.assert_allclose(
        found[0], np.square(latents - codebooks[0][codes[:, 0]].transpose(0, 2, 1)).mean(), rtol=1e-5
    )


TELLING = CodecSpec(24_000, 320, 8, (Codebook(1024),) * 8, tuple(range(1, 9)), importance=Importance(0.125, 6.0))


def telling(seed, frames, most=8):
    """A packet of which some frames need more than others."""
    importance = np.random.default_rng(seed).beta(1, 3, (1, frames)).astype(np.float32)
    return Costs(np.ones(most), np.full(most, 10.0 * frames), frames, importance)


def spent_at(packets, quality, most=8):
    """Plain bits of all codes, and of the counts of frames."""
    counts = [packet_counts(packet, quality, TELLING, most) for packet in packets]
    return sum(10 * count.sum() + 8 * len(coded_counts(count, most)) for count in counts)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(7, 8))
def test_the_quality_of_a_size_fills_it(seed, constant, most):
    packets = [telling(seed + i, frames, most) for i, frames in enumerate((100, 100, 37))]
    found, budget = quality_for(packets, constant, TELLING, most), 10 * constant * 237
    assert found == 6.0 or budget * 0.98 < spent_at(packets, found, most) < budget * 1.005


def test_qualities_stay_in_the_range_of_the_codec():
    packets = [telling(0, 150)]
    assert quality_for(packets, 1, TELLING, 8) == pytest.approx(0.125)
    silent = [packets[0]._replace(importance=np.zeros((1, 150), np.float32))]
    assert quality_for(silent, 8, TELLING, 8) == 6.0


def costs(error, bits_per_code=10.0, frames=10, count=8):
    """A packet whose error falls by the same factor from codebook to codebook."""
    return Costs(error * np.geomspace(1, 0.01, count), np.full(count, bits_per_code * frames), frames)


def spent(packets, counts):
    return sum(packet.bits[:count].sum() for packet, count in zip(packets, counts, strict=True))


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_no_more_bits_than_at_the_constant_rate(packets, seed, constant):
    rng = np.random.default_rng(seed)
    made = [
        Costs(np.sort(rng.exponential(10.0 ** rng.integers(-3, 3), 8))[::-1], rng.uniform(0, 10, 8) * frames, frames)
        for frames in rng.integers(1, 150, packets).tolist()
    ]
    counts = allocate(made, constant)
    assert all(min(MIN_QUANTIZERS, constant) <= count <= 8 for count in counts)
    assert spent(made, counts) <= spent(made, [constant] * packets) * (1 + 1e-6)


def test_what_is_not_spent_would_not_buy_the_next_codebook():
    packets = [costs(error, bits) for error, bits in ((1.0, 7.0), (4.0, 9.0), (0.1, 3.0))]
    left = spent(packets, [4] * 3) - spent(packets, allocate(packets, 4))
    assert 0 <= left < 9.0 * 10


def test_silence_leaves_its_codebooks_to_sound():
    loud, silent = costs(1.0), costs(1e-9)
    assert allocate([loud, silent, loud, silent], 4) == [6, 2, 6, 2]


def test_silence_takes_no_codebooks_for_being_cheap():
    loud, silent = costs(1.0, 9.0), costs(1e-3, 0.2)
    assert allocate([loud, loud, silent], 4) == [4, 4, 2]


def test_of_equal_errors_the_cheaper_codes_get_more():
    cheap, dear = allocate([costs(1.0, 3.0), costs(1.0, 9.0)], 4)
    assert cheap > 4 > dear


def test_long_packets_count_for_no_more_than_short_ones():
    assert allocate([costs(1.0, frames=1000), costs(1.0, frames=10)], 4) == [4, 4]


@pytest.mark.parametrize("constant", [1, 8])
def test_nothing_varies_at_the_ends(constant):
    assert allocate([costs(1.0), costs(9.0, 2.0)], constant) == [constant] * 2


def test_nothing_needs_nothing():
    assert allocate([], 4) == []
