"""Entropy-coded payloads: exact on every machine, thread count and batch, and noticed when they are not."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import entropy_tables as made
from soundstream.entropy import ContextCoder, StaticCoder
from soundstream.entropy.bounds import LIMIT, MAX_INPUTS, TOTAL
from soundstream.entropy.context import ContextModel, contexts, with_ones
from soundstream.entropy.frequencies import exponentials, frequencies
from soundstream.entropy.product import ExactLayer
from soundstream.errors import ArtifactError, CodesMismatch, ConfigError

GOLDEN = {
    "static": "058bfe03fc98f462f5f22544fb3a3af46efcc7f3fa8e60e3289fb8f37f0af9c5ee9088caf57bc6d0f650ff9696",
    "context": "70c769cc23e7c921e2a8d14e8981ad439dae43d247880d",
}
"""Payloads of the codes of `made`; a change of their format needs a new entropy mode, not a new value here."""


def coders(seed=0):
    tables = made.tables(seed)
    return {"static": StaticCoder(tables), "context": ContextCoder(tables, made.codebooks(seed))}


def decoded(coder, payloads, shape):
    return coder.decode_batch(payloads, shape)


@pytest.fixture(params=["static", "context"])
def coder(request):
    return coders()[request.param]


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, made.QUANTIZERS), st.integers(0, 12)),
    seed=st.integers(0, 2**32 - 1),
    strength=st.sampled_from([1, 20, LIMIT]),
    mode=st.sampled_from(["static", "context"]),
)
def test_codes_come_back(shape, seed, strength, mode):
    tables = made.tables(seed % 100, strength)
    coder = StaticCoder(tables) if mode == "static" else ContextCoder(tables, made.codebooks(seed % 100, 3.0))
    codes = made.codes(*shape, seed=seed)
    decoded = coder.decode(coder.encode(codes), shape)
    assert decoded.dtype == np.int64
    np.testing.assert_array_equal(decoded, codes)


@pytest.mark.parametrize("mode", ["static", "context"])
def test_golden_payloads_stay(mode):
    codes = made.codes(2, 3, 5)
    assert coders()[mode].encode(codes).hex() == GOLDEN[mode]
    np.testing.assert_array_equal(coders()[mode].decode(bytes.fromhex(GOLDEN[mode]), codes.shape), codes)


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_a_batch_decodes_as_its_payloads_one_by_one(coder, batch):
    clips = [made.codes(2, 3, 6, seed) for seed in range(7)]
    payloads = [coder.encode(clip) for clip in clips]
    found = [codes for i in range(0, 7, batch) for codes in decoded(coder, payloads[i : i + batch], clips[0].shape)]
    np.testing.assert_array_equal(found, clips)


def test_a_bad_payload_spoils_no_other_of_its_batch(coder):
    clips = [made.codes(seed=seed) for seed in range(3)]
    payloads = [coder.encode(clip) for clip in clips]
    payloads[1] = payloads[1][:-3]
    first, second, third = decoded(coder, payloads, clips[0].shape)
    np.testing.assert_array_equal([first, third], [clips[0], clips[2]])
    assert isinstance(second, CodesMismatch)


@pytest.mark.parametrize("bit", range(0, 160, 7))
def test_a_flipped_bit_is_a_mismatch_and_never_other_codes(coder, bit):
    codes = made.codes()
    payload = bytearray(coder.encode(codes))
    payload[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CodesMismatch):
        coder.decode(bytes(payload), codes.shape)


def test_other_tables_are_a_mismatch_and_never_other_codes():
    codes = made.codes()
    for mode, coder in coders(seed=0).items():
        with pytest.raises(CodesMismatch):
            coders(seed=1)[mode].decode(coder.encode(codes), codes.shape)


@settings(max_examples=30, deadline=None)
@given(payload=st.binary(max_size=40), mode=st.sampled_from(["static", "context"]))
def test_random_bytes_are_a_mismatch(payload, mode):
    with pytest.raises(CodesMismatch):
        coders()[mode].decode(payload, (1, 4, 6))


THREADS = """
import sys
import zlib
sys.path.insert(0, sys.argv[1])
import numpy as np
import entropy_tables as made
from soundstream.entropy import ContextCoder
coder = ContextCoder(made.tables(), made.codebooks())
codes = made.codes(3, 4, 40)
payload = coder.encode(codes)
assert (coder.decode(payload, codes.shape) == codes).all()
print(payload.hex())
"""


@pytest.mark.parametrize("kernel", ["", "Prescott", "Haswell"])
@pytest.mark.parametrize("threads", ["1", "4"])
def test_threads_and_kernels_of_the_float_library_change_nothing(threads, kernel):
    codes = made.codes(3, 4, 40)
    environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    environment |= {"OPENBLAS_CORETYPE": kernel} if kernel else {}
    command = [sys.executable, "-c", THREADS, str(Path(made.__file__).parent)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == coders()["context"].encode(codes).hex()


class Whole(np.ndarray):
    """An array that refuses to become anything but whole numbers."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        plain = [x.view(np.ndarray) if isinstance(x, Whole) else x for x in inputs]
        kwargs["out"] = tuple(x.view(np.ndarray) for x in kwargs["out"]) if "out" in kwargs else None
        result = getattr(ufunc, method)(*plain, **{k: v for k, v in kwargs.items() if v is not None})
        assert not np.issubdtype(np.asarray(result).dtype, np.floating), f"{ufunc.__name__} gave floats"
        return result.view(Whole) if isinstance(result, np.ndarray) else result


def guarded(array):
    return array.view(Whole)


def test_no_float_lies_on_the_way_to_frequencies():
    """Every array on the way is guarded; the one exception is `ExactLayer`, whose bound the tests below prove."""
    tables = made.tables()
    model = ContextCoder(tables, made.codebooks()).model
    *_, known = contexts(guarded(model.vectors), tables.vector_shifts, made.codes(3, 3, 5))
    assert known.dtype == np.int8
    logits = model.logits(np.asarray(known), 2)
    assert logits.dtype == np.int32
    table = frequencies(guarded(logits), guarded(tables.exponentials))
    assert table.dtype == np.int64


def test_the_decoder_knows_at_every_code_what_the_encoder_counted_on(monkeypatch):
    """Its inputs are kept as floats for the product: they must be the whole numbers of `contexts`, of which none is."""
    coder, codes = coders()["context"], made.codes(2, 4, 6)
    model, seen, payload = coder.model, {}, coder.encode(codes)
    widths = ContextModel.widths

    def watched(self, known, q, room):
        seen.setdefault(q, []).append(known.copy())
        return widths(self, known, q, room)

    monkeypatch.setattr(ContextModel, "widths", watched)
    np.testing.assert_array_equal(coder.decode(payload, codes.shape), codes)
    for q, expected in enumerate(contexts(model.vectors, model.shifts, codes)):
        np.testing.assert_array_equal(np.stack(seen[q], axis=1).reshape(len(expected), -1), with_ones(expected))


def test_the_guard_of_that_test_sees_floats():
    with pytest.raises(AssertionError, match="floats"):
        guarded(np.arange(3)) / 2


@pytest.mark.parametrize("shift", [0, 3, 30])
@pytest.mark.parametrize("inputs", [1, 640, MAX_INPUTS])
def test_products_are_exact_at_their_bound(inputs, shift):
    rng = np.random.default_rng(inputs)
    weights = np.concatenate([np.full((1, inputs), LIMIT), rng.integers(-LIMIT, LIMIT + 1, (20, inputs))])
    x = np.concatenate(
        [np.full((1, inputs), LIMIT), -np.full((1, inputs), LIMIT), rng.integers(-LIMIT, 128, (5, inputs))]
    )
    layer = ExactLayer(weights.astype(np.int8), np.full(len(weights), -5, np.int32), shift, raised=True)
    found = layer(with_ones(x.astype(np.int8)), layer.room(len(x))).astype(np.int64)
    expected = x @ weights.T - 5 >> shift
    np.testing.assert_array_equal(found - found[0, 0], expected - expected[0, 0])
    assert found.min() >= 0
    assert LIMIT**2 * MAX_INPUTS < 2**24 <= LIMIT**2 * (MAX_INPUTS + 1)


@pytest.mark.parametrize(
    "weights", [np.zeros((1, MAX_INPUTS + 1), np.int8), np.zeros((2, 2), np.float32), np.full((1, 1), -128, np.int8)]
)
def test_products_that_might_not_be_exact_are_refused(weights):
    with pytest.raises(ConfigError):
        ExactLayer(weights, np.zeros(len(weights), np.int32), 0)


@settings(max_examples=50, deadline=None)
@given(
    size=st.sampled_from([2, 32, 1024]), seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0, 10, 1000, 2**29])
)
def test_frequencies_add_up_and_none_is_zero(size, seed, spread):
    logits = np.random.default_rng(seed).integers(-spread, spread + 1, (3, size)).astype(np.int32)
    table = frequencies(logits, exponentials())
    assert (table.sum(1) == TOTAL).all() and table.min() >= 1
    largest = logits.argmax(1)[:, None]
    np.put_along_axis(table, largest, TOTAL, axis=1)
    order = np.lexsort((table, logits))
    assert (np.diff(np.take_along_axis(table, order, 1), axis=1) >= 0).all()


def test_frequencies_follow_the_softmax():
    logits = np.random.default_rng(0).normal(0, 60, (4, 256)).astype(np.int32)
    expected = np.exp(logits / 32)
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(frequencies(logits, exponentials()) / TOTAL, expected, atol=2e-3)


def test_both_sides_cost_what_the_frequencies_say():
    codes = made.codes(1, 4, 150)
    coder = ContextCoder(made.tables(strength=10), made.codebooks())
    widths = coder.widths(codes)
    ideal = -np.log2(widths / TOTAL).sum()
    assert 8 * len(coder.encode(codes)) < 1.01 * ideal + 24


def test_bits_by_codebook_add_up_to_the_payload(coder):
    codes = made.codes(2, 4, 150)
    bits = coder.bits(codes)
    assert bits.shape == (4,)
    assert bits.sum() <= 8 * len(coder.encode(codes)) < 1.01 * bits.sum() + 40


@pytest.mark.parametrize(
    "codes",
    [
        np.full((1, 1, 1), made.SIZE),
        np.full((1, 1, 1), -1),
        np.zeros((1, 5, 1), int),
        np.zeros((1, 1)),
        np.zeros((1, 1, 1)),
    ],
    ids=["too large", "negative", "a codebook too many", "two dimensions", "float"],
)
def test_codes_that_do_not_fit_are_refused(coder, codes):
    with pytest.raises(ConfigError):
        coder.encode(codes)


def test_tables_of_another_shape_are_refused():
    with pytest.raises(ArtifactError, match="this model needs"):
        ContextCoder(made.tables(), made.codebooks()[:, :, :4])


def from_the_text(payload, shape, tables, codebooks):
    """A decoder of mode 2 written from docs/format.md alone, in Python's own numbers."""
    channels, quantizers, frames = shape
    total, dim = 1 << 18, codebooks.shape[2]
    scaled = [[[min(2**15 - 1, max(-(2**15), round(float(x) * 2**11))) for x in v] for v in book] for book in codebooks]
    t = {name: value.tolist() for name, value in vars(tables).items() if value is not None}

    def clip(v, s):
        return [min(127, max(-127, x >> s if s >= 0 else x << -s)) for x in v]

    def add(a, b):
        return [x + y for x, y in zip(a, b, strict=True)]

    def layer(weights, biases, shift, inputs):
        return [
            sum(w * x for w, x in zip(row, inputs, strict=True)) + b >> shift
            for row, b in zip(weights, biases, strict=True)
        ]

    zero = [0] * dim
    x, rest = int.from_bytes(payload[:4], "big"), list(payload[4:])
    last, before, mean = ([zero] * channels for _ in range(3))
    entries = [[zero] * channels for _ in range(quantizers)]
    order = []
    for _ in range(frames):
        so_far, above = [zero] * channels, [zero] * channels
        for q in range(quantizers):
            for c in range(channels):
                inputs = clip(last[c], 6) + clip(before[c], 6) + clip([m >> 4 for m in mean[c]], 6) + clip(so_far[c], 6)
                inputs += clip(above[c], t["vector_shifts"][max(0, q - 1)]) + clip(entries[q][c], t["vector_shifts"][q])
                hidden = layer(t["hidden_weights"][q], t["hidden_biases"][q], t["hidden_shifts"][q], inputs)
                hidden = [min(127, max(0, h)) for h in hidden]
                logits = layer(t["output_weights"][q], t["output_biases"][q], t["output_shifts"][q], hidden)
                table, most = t["exponentials"], max(logits)
                w = [table[min(len(table) - 1, most - value)] for value in logits]
                scale = (total - len(w)) * 2**20 // sum(w)
                f = [1 + (value * scale >> 20) for value in w]
                f[logits.index(most)] += total - sum(f)
                code, b = 0, 0
                while b + f[code] <= x % total:
                    b += f[code]
                    code += 1
                x = f[code] * (x // total) + x % total - b
                while x < 2**24 and rest:
                    x = 256 * x + rest.pop(0)
                order.append(code)
                entries[q][c] = above[c] = scaled[q][code]
            so_far = [add(a, v) for a, v in zip(so_far, above, strict=True)]
        last, before = so_far, last
        mean = [[m + (16 * z - m >> 3) for m, z in zip(*pair, strict=True)] for pair in zip(mean, so_far, strict=True)]
    assert not rest and x == zlib.crc32(b"".join(code.to_bytes(2, "little") for code in order)) & 0xFFFF
    return np.array(order).reshape(frames, quantizers, channels).transpose(2, 1, 0)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_decoder_written_from_the_text_agrees(seed):
    tables, codebooks, codes = made.tables(seed, strength=40), made.codebooks(seed), made.codes(2, 4, 6, seed)
    payload = ContextCoder(tables, codebooks).encode(codes)
    np.testing.assert_array_equal(from_the_text(payload, codes.shape, tables, codebooks), codes)
