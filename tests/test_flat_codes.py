"""Codes in one row, coarse to fine, interleaved by time, and back."""

import json
import math

import numpy as np
import pytest
import soundfile

from soundstream import CodedAudio, flatten_codes, load_codes, save_codes, unflatten_codes
from soundstream.codec.code_files import codes_from_file, codes_to_file
from soundstream.errors import ConfigError

STRIDES = [(4, 2, 1), (8, 4, 2, 1), (1, 1, 1), (2, 3), (4, 2, 2, 1), (1, 4), (5,)]


def drawn(strides, granules=3, lead=()):
    """Codes that stand in all frames that they cover; no two are alike."""
    frames = granules * math.lcm(*strides)
    numbers = np.arange(math.prod(lead) * len(strides) * frames).reshape(*lead, len(strides), frames)
    for q, stride in enumerate(strides):
        numbers[..., q, :] = np.repeat(numbers[..., q, ::stride], stride, axis=-1)
    return numbers


def test_the_order_of_one_coarse_frame_is_that_of_models_of_snac():
    coarse, middle, fine = [10], [20, 21], [30, 31, 32, 33]
    codes = np.stack([np.repeat(coarse, 4), np.repeat(middle, 2), fine])
    assert flatten_codes(codes, (4, 2, 1)).tolist() == [10, 20, 30, 31, 21, 32, 33]


def test_the_order_of_four_codebooks_is_coarse_to_fine_in_each_frame():
    codes = drawn((8, 4, 2, 1), granules=1)
    expected = [codes[q, t] for t in range(8) for q, stride in enumerate((8, 4, 2, 1)) if t % stride == 0]
    assert flatten_codes(codes, (8, 4, 2, 1)).tolist() == expected
    assert len(expected) == 15


@pytest.mark.parametrize("strides", STRIDES, ids=str)
@pytest.mark.parametrize("lead", [(), (2,), (2, 3), (0,)], ids=str)
def test_the_way_back_gives_the_same_codes(strides, lead):
    codes = drawn(strides, lead=lead)
    tokens = flatten_codes(codes, strides)
    assert tokens.shape == (*lead, sum(codes.shape[-1] // stride for stride in strides))
    assert len(np.unique(tokens)) == tokens.size
    back = unflatten_codes(tokens, strides)
    assert back.dtype == codes.dtype
    np.testing.assert_array_equal(back, codes)


def test_no_frames_give_no_tokens_and_back():
    tokens = flatten_codes(np.zeros((3, 0), np.int64), (4, 2, 1))
    assert tokens.shape == (0,) and unflatten_codes(tokens, (4, 2, 1)).shape == (3, 0)


@pytest.mark.parametrize(
    ("codes", "strides", "message"),
    [
        (np.zeros((3, 6), int), (4, 2, 1), "whole codes"),
        (np.arange(12).reshape(3, 4), (4, 2, 1), "a code changes"),
        (np.zeros((2, 4), int), (4, 2, 1), "expected those of 2 codebooks"),
        (np.zeros(4, int), (1,), "expected \\[num_quantizers, frames\\]"),
        (np.zeros((1, 4), int), (0,), "1 or more"),
    ],
)
def test_what_is_no_whole_codes_is_refused(codes, strides, message):
    with pytest.raises(ConfigError, match=message):
        flatten_codes(codes, strides)


def test_tokens_of_half_a_granule_are_refused():
    with pytest.raises(ConfigError, match="a multiple of 7"):
        unflatten_codes(np.zeros(13, int), (4, 2, 1))


# files


def test_a_file_of_one_row_is_read_as_frames(tmp_path):
    coded = CodedAudio(drawn((4, 2, 1), lead=(2,)), 24_000, 5000)
    save_codes(tmp_path / "row.npy", coded, strides=(4, 2, 1))
    assert np.load(tmp_path / "row.npy").shape == (2, 21)
    back = load_codes(tmp_path / "row.npy")
    np.testing.assert_array_equal(back.codes, coded.codes)
    assert (back.sample_rate, back.num_samples) == (24_000, 5000)


def test_sound_to_one_row_and_back(codec, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, (8001, 2)), 24_000)
    rows = [tmp_path / "plain.npy", tmp_path / "flat.npy"]
    for output, flat in zip(rows, (False, True), strict=True):
        codes_to_file(tmp_path / "a.wav", output, 3000, model=codec.folder, flat=flat)
        codes_from_file(output, output.with_suffix(".wav"), model=codec.folder)
    frames, row = map(np.load, rows)
    np.testing.assert_array_equal(row, frames.transpose(0, 2, 1).reshape(2, -1))
    plain, flat = (soundfile.read(path.with_suffix(".wav"))[0] for path in rows)
    np.testing.assert_array_equal(flat, plain)
    assert len(flat) == 8001


@pytest.mark.parametrize("strides", [[0], [4, 2], [1.5], "421", [10**30, 1], [True]], ids=str)
def test_strides_that_cannot_be_do_not_break_a_file(tmp_path, strides):
    """A line of somebody else behind the array: it is an array of frames then, or the codes are refused by name."""
    np.save(tmp_path / "a.npy", np.zeros((2, 7), np.uint16))
    with (tmp_path / "a.npy").open("ab") as file:
        file.write(json.dumps({"strides": strides}).encode())
    if strides == [4, 2]:
        with pytest.raises(ConfigError, match="a multiple of 3"):
            load_codes(tmp_path / "a.npy")
    else:
        assert load_codes(tmp_path / "a.npy").codes.shape == (1, 2, 7)
