"""EnCodec's language model and its coder: what the original computed and wrote, and files that are out of step."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import encodec_language_weights
from soundstream.bitstream.ecdc import MONO, STEREO, Ecdc, parse
from soundstream.bitstream.ecdc_arithmetic import ArithmeticDecoder
from soundstream.errors import (
    ArtifactError,
    BitstreamError,
    CodesMismatch,
    InputError,
    InvalidField,
    ModelMismatch,
    Truncated,
    UnsupportedVersion,
)
from soundstream.nn.encodec_language import Segment, read_language_model, shares

GOLDEN = Path(__file__).parents[1] / "golden"
"""`language-*.ecdc` and `plain-*.ecdc` are of the original program, with these weights and without any."""
ORIGINAL_BYTES = bytes.fromhex(
    "dad6f3f5e9b9d99225b4551b0a0575b78002068d0610e758c98b1e8a9c55e38be7a047458428e2e6ca41af3bc22c2e9161f2faec22"
)
"""What the original's coder wrote of `ORIGINAL_CODES` by `some_table`."""
# fmt: off
ORIGINAL_CODES = [
    455, 551, 530, 351, 968, 377, 673, 383, 460, 1011, 191, 647, 437, 690, 773, 337, 688, 696, 462, 125, 632, 52, 907,
    870, 866, 9, 994, 1002, 599, 846, 785, 804, 157, 49, 271, 212, 561, 870, 765, 442,
]
# fmt: on


def some_table(place):
    return np.cumsum(2 + np.arange(1024) ** 2 * (place + 1) % 32_000)


def read(tmp_path, tensors):
    torch.save(tensors, tmp_path / "lm.th")
    return read_language_model(tmp_path / "lm.th")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return read(tmp_path_factory.mktemp("language"), encodec_language_weights.published(32))


@pytest.fixture(scope="module")
def stereo_model(tmp_path_factory):
    return read(tmp_path_factory.mktemp("language"), encodec_language_weights.published(16))


@pytest.fixture(scope="module")
def written(model):
    """Codes, and their file."""
    codes = np.random.default_rng(0).integers(0, 1024, (2, 10))
    return codes, encodec_language_weights.coded(model, Ecdc(codes, 3199))


def test_bytes_of_the_originals_coder_give_its_codes():
    decoder = ArithmeticDecoder(memoryview(ORIGINAL_BYTES + b"\xff"))
    assert [decoder.pull(some_table(i)) for i in range(len(ORIGINAL_CODES))] == ORIGINAL_CODES
    assert decoder.finish() == len(ORIGINAL_BYTES)


def test_shares_are_the_originals():
    squares = (torch.arange(1024) ** 2).float()
    found = shares((squares / squares.double().sum().float())[:, None])
    assert zlib.crc32(found.numpy().astype("<i8").tobytes()) == 3320781639  # of the original's table


def test_probabilities_are_the_originals_far_beyond_the_window(model):
    codes, segment = np.random.default_rng(5).integers(0, 1024, (3, 270)), Segment(model, 262, 3)
    found = [segment.probabilities(codes[:, i - 1] if i else None)[::64].numpy() for i in range(270)]
    chosen = np.stack([found[i] for i in (0, 1, 2, 200, 262, 263, 264, 269)])
    np.testing.assert_allclose(chosen, np.load(GOLDEN / "language.npy"), rtol=1e-4, atol=0)


@pytest.mark.parametrize("kind", ["24khz", "48khz"])
def test_files_of_the_original_are_those_that_its_codes_give(kind, model, stereo_model):
    """To the byte where this machine rounds as the writer's did, and nearly to their length elsewhere."""
    language = model if kind == "24khz" else stereo_model
    plain = parse((GOLDEN / f"plain-{kind}.ecdc").read_bytes())
    theirs = (GOLDEN / f"language-{kind}.ecdc").read_bytes()
    ours = encodec_language_weights.coded(language, plain)
    assert abs(len(ours) - len(theirs)) <= 2
    found = parse(ours, language)  # and so theirs, where they are equal
    np.testing.assert_array_equal(found.codes, plain.codes)
    np.testing.assert_array_equal(found.gains, plain.gains)
    assert (found.kind, found.num_samples) == (plain.kind, plain.num_samples)


@pytest.mark.parametrize("samples", [0, 1, 320 * 40])
def test_files_of_this_machine_come_back(samples, model):
    codes = np.random.default_rng(samples).integers(0, 1024, (3, -(-samples // 320)))
    found = parse(encodec_language_weights.coded(model, Ecdc(codes, samples)), model)
    np.testing.assert_array_equal(found.codes, codes)


def test_segments_begin_anew(stereo_model):
    codes, gains = np.random.default_rng(0).integers(0, 1024, (2, 152)), np.float32([1, 0.25])
    found = parse(encodec_language_weights.coded(stereo_model, Ecdc(codes, 48_000, STEREO, gains)), stereo_model)
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_array_equal(found.gains, gains)


def test_without_the_model_a_file_is_refused_and_the_option_named(written):
    with pytest.raises(
        UnsupportedVersion, match=r"float32 differ from machine to machine.*--not-portable --language-m"
    ):
        parse(written[1])


def test_every_damaged_byte_is_noticed(written, model):
    data = written[1]
    for place in range(data.index(b"}") + 1, len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        with pytest.raises((CodesMismatch, Truncated, InvalidField)):
            parse(bytes(damaged), model)
    with pytest.raises(Truncated, match="before its last code"):
        parse(data[:-1], model)
    with pytest.raises(InvalidField, match="goes on behind its last code"):
        parse(data + b"\0", model)


@pytest.mark.parametrize("seed", range(5))
def test_probabilities_of_another_machine_are_noticed(written, tmp_path, seed):
    tensors = encodec_language_weights.published(32)
    noise = torch.Generator().manual_seed(seed)
    for name in ("linears.0.bias", "linears.1.bias"):
        tensors[name] += 1e-6 * torch.randn(1024, generator=noise)
    with pytest.raises(BitstreamError):
        parse(written[1], read(tmp_path, tensors))


def test_a_header_that_says_too_much_is_refused_before_anything_is_computed(written):
    head, codes = written[1].split(b"}", 1)
    longer = head.replace(b"3199", b"1000000000000") + b"}"
    data = longer[:5] + (len(longer) - 9).to_bytes(4, "big") + longer[9:] + codes
    with pytest.raises(Truncated, match="its header says more"):
        parse(data, language=object())


def test_weights_of_the_other_model_and_of_others_are_named(written, stereo_model, tmp_path):
    with pytest.raises(ModelMismatch, match="has 16 codebooks, that of encodec_24khz 32"):
        parse(written[1], stereo_model)
    with pytest.raises(InputError, match="cannot read"):
        read_language_model(tmp_path / "none.th")
    tensors = encodec_language_weights.published(32)
    with pytest.raises(ArtifactError, match="no weights of EnCodec's language model"):
        read(tmp_path, {"encoder.weight": torch.zeros(3)})
    with pytest.raises(ArtifactError, match="1 tensors have no place in this model: more"):
        read(tmp_path, tensors | {"more": torch.zeros(3)})
    with pytest.raises(ArtifactError, match=r"linears.3.weight is \[1000, 16\]; expected \[1024, 16\]"):
        read(tmp_path, tensors | {"linears.3.weight": torch.zeros(1000, 16)})
    del tensors["transformer.layers.1.linear1.bias"]
    with pytest.raises(ArtifactError, match=r"lack transformer\.layers.1.linear1.bias"):
        read(tmp_path, tensors)


def test_the_window_of_a_frame_is_three_and_a_half_seconds(model, stereo_model):
    assert model.start(MONO, 2).__self__.window == 262
    assert stereo_model.start(STEREO, 2).__self__.window == 525
