import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundstream.codec.vbr import MIN_QUANTIZERS, Costs, allocate, residual_energy


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
