"""How many codebooks frames have by what an encoder says of them, and the codes of so many."""

import dataclasses

import numpy as np
import pytest

from soundstream.runtime.importance import counts_at, importance_of
from soundstream.runtime.quantizer import Quantizer
from soundstream.spec import Codebook, CodecSpec, Importance, Levels

SPEC = CodecSpec(24_000, 320, 4, (Codebook(16),) * 8, tuple(range(1, 9)), importance=Importance(0.125, 6.0))


def test_counts_are_those_of_the_paper():
    importance = np.array([[0.0, 0.124, 0.125, 0.5, 0.999, 1.0]], np.float32)
    assert counts_at(importance, 1.0, SPEC, 8).tolist() == [[1, 1, 2, 5, 8, 8]]
    assert counts_at(importance, 6.0, SPEC, 8).tolist() == [[1, 6, 7, 8, 8, 8]]
    assert counts_at(importance, 0.125, SPEC, 8).tolist() == [[1, 1, 1, 1, 1, 2]]


def test_counts_have_a_most_and_keep_the_code_of_levels():
    importance = np.array([[0.0, 0.5, 1.0]], np.float32)
    assert counts_at(importance, 1.0, SPEC, 3).tolist() == [[1, 3, 3]]
    levels = dataclasses.replace(SPEC, latent_dim=6, levels=Levels(2, 3, 0.5))
    assert counts_at(importance, 1.0, levels, 8).tolist() == [[4, 5, 8]]
    assert counts_at(importance, 1.0, levels, 2).tolist() == [[2, 2, 2]]


def test_importance_stands_behind_the_latents():
    encoded = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
    np.testing.assert_array_equal(importance_of(encoded, SPEC), encoded[:, 4])


@pytest.mark.parametrize("effort", [1, 4])
def test_each_frame_has_the_codes_that_so_many_codebooks_would_give_it(effort):
    """A search of several paths ends where the frame does: the first codes of a longer one may be others."""
    rng = np.random.default_rng(0)
    quantizer = Quantizer(rng.normal(0, 1, (8, 16, 4)).astype(np.float32) * 0.7 ** np.arange(8)[:, None, None])
    latents, counts = rng.normal(0, 1, (2, 4, 30)).astype(np.float32), rng.integers(1, 9, (2, 30))
    codes = quantizer.encode_counts(latents, counts, 8, effort)
    assert codes.shape == (2, 8, 30)
    np.testing.assert_array_equal((codes >= 0).sum(axis=1), counts)
    for count in range(1, 9):
        constant = quantizer.encode(latents, count, effort)
        here = counts == count
        np.testing.assert_array_equal(np.moveaxis(codes, 1, 2)[here][:, :count], np.moveaxis(constant, 1, 2)[here])


@pytest.mark.parametrize("frames", [1, 5])
def test_frames_with_one_count_are_searched_in_one_piece(frames, monkeypatch):
    """As without counts, bit for bit: what is multiplied in another shape is summed in another order."""
    rng = np.random.default_rng(1)
    quantizer = Quantizer(rng.normal(0, 1, (4, 16, 4)).astype(np.float32))
    latents = rng.normal(0, 1, (2, 4, frames)).astype(np.float32)
    constant, encode, seen = quantizer.encode(latents, 3), quantizer.encode, []
    monkeypatch.setattr(quantizer, "encode", lambda latents, *rest: seen.append(latents) or encode(latents, *rest))
    codes = quantizer.encode_counts(latents, np.full((2, frames), 3), 4)
    np.testing.assert_array_equal(codes[:, :3], constant)
    assert (codes[:, 3:] == -1).all() and len(seen) == 1 and seen[0] is latents


def test_a_signal_without_frames_has_no_codes():
    quantizer = Quantizer(np.ones((2, 4, 3), np.float32))
    assert quantizer.encode_counts(np.zeros((1, 3, 0), np.float32), np.ones((1, 0), np.int64), 2).shape == (1, 2, 0)
