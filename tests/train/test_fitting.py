"""Fitting entropy tables: they learn, they survive rounding, and an artifact takes them."""

import dataclasses
import shutil

import numpy as np
import pytest
import soundfile
import torch

import entropy_tables as made
import tiny
from soundstream import load
from soundstream.entropy import ContextCoder, StaticCoder
from soundstream.entropy.bounds import TOTAL
from soundstream.entropy.context import contexts, fixed_point
from soundstream.entropy.grid import Grid
from soundstream.entropy.tables import Tables
from soundstream.errors import ArtifactError, ConfigError
from soundstream.runtime.artifact import load_artifact
from soundstream.spec import Levels
from soundstream.train import entropy_fit
from soundstream.train.entropy_extend import extended, extending
from soundstream.train.entropy_fit import FitConfig, Predictor, fit, fit_artifact, rounded, spread, vector_shifts

CONFIG = FitConfig(hidden=32, steps=150, crops=4, crop_frames=32, learning_rate=1e-2)


def held(clips=60, frames=200):
    """Codes that mostly follow from the codes before: all are drawn anew in one frame of eight, and held between."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, made.SIZE, (clips, made.QUANTIZERS, frames))
    since = np.maximum.accumulate(np.where(rng.random((clips, 1, frames)) < 1 / 8, np.arange(frames), 0), axis=2)
    return list(np.take_along_axis(drawn, since, axis=2).astype(np.int16))


def bits(coder, clips):
    """Mean bits of a code."""
    widths = np.concatenate([coder.widths(clip[None].astype(np.int64)).ravel() for clip in clips])
    return -np.log2(widths / TOTAL).mean()


@pytest.fixture(scope="module")
def learned():
    return fit(held(), made.codebooks(), CONFIG)


def test_tables_learn_what_follows_from_the_past(learned):
    coder = ContextCoder(learned, made.codebooks())
    clip = held(clips=61)[-1].astype(np.int64)[None]
    plain, static = 5 * clip.size, 8 * len(StaticCoder(learned).encode(clip))
    assert 8 * len(coder.encode(clip)) < 0.7 * min(plain, static)
    np.testing.assert_array_equal(coder.decode(coder.encode(clip), clip.shape), clip)


def test_rounding_costs_little():
    torch.manual_seed(0)
    codebooks, clips = made.codebooks(), held(clips=6)
    counts = np.ones((made.QUANTIZERS, made.SIZE), np.float32)
    predictor = Predictor(torch.from_numpy(codebooks), torch.from_numpy(counts), 16)
    with torch.no_grad():
        predictor.own.normal_(0, 0.5)
    shifts = vector_shifts(codebooks)
    crops = np.stack([clip[:, :50] for clip in clips])
    known = list(contexts(fixed_point(codebooks), shifts, crops))
    tables = rounded(predictor, counts, shifts, known)
    nats = [
        torch.nn.functional.cross_entropy(
            predictor(torch.from_numpy(known[q]).float() / 32, q),
            torch.from_numpy(crops[:, q].ravel().astype(np.int64)),
        ).item()
        for q in range(made.QUANTIZERS)
    ]
    spent = bits(ContextCoder(tables, codebooks), list(crops))
    assert spent == pytest.approx(np.mean(nats) / np.log(2), abs=0.03)


def test_the_same_codes_give_the_same_tables():
    first, again = (fit(held(clips=9), made.codebooks(), dataclasses.replace(CONFIG, steps=15)) for _ in range(2))
    np.testing.assert_array_equal(again.output_weights, first.output_weights)


def test_no_codes_are_refused():
    with pytest.raises(ConfigError, match="no codes"):
        fit([np.zeros((4, 0), np.int16)], made.codebooks(), CONFIG)


def test_more_hidden_units_than_sums_are_exact_for_are_refused_before_the_fit():
    with pytest.raises(ConfigError, match="hidden is 1041; the context model takes at most 1040"):
        fit(held(clips=2), made.codebooks(), FitConfig(hidden=1041, steps=0))


@pytest.mark.parametrize("latent_dim", [174, 256])
def test_codebooks_of_any_width_have_vectors_that_the_context_model_takes(latent_dim, tmp_path):
    narrow = made.codebooks()
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(latent_dim, latent_dim)))[0][: narrow.shape[2]]
    codebooks, clips = (narrow @ turned).astype(np.float32), held(clips=20)
    tables = fit(clips, codebooks, dataclasses.replace(CONFIG, steps=60))
    assert tables.vectors.shape == (*codebooks.shape[:2], entropy_fit.REDUCED_DIM)
    tables.save(tmp_path / "entropy.npz")
    coder, clip = ContextCoder(Tables.load(tmp_path / "entropy.npz"), codebooks), clips[0].astype(np.int64)[None]
    payload = coder.encode(clip)
    np.testing.assert_array_equal(coder.decode(payload, clip.shape), clip)
    assert len(payload) < 0.85 * len(StaticCoder(tables).encode(clip))


def test_reduced_entries_lie_as_far_apart_as_they_did():
    narrow = made.codebooks()
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(200, 200)))[0][: narrow.shape[2]]
    found = entropy_fit.reduced((narrow @ turned).astype(np.float32), narrow.shape[2])
    for one, other in zip(narrow, found, strict=True):
        np.testing.assert_allclose(other @ other.T, one @ one.T, atol=0.02 * np.abs(one @ one.T).max())


def test_crops_come_from_codes_that_were_searched_for_in_as_few_codebooks_as_fit():
    rng, config = np.random.default_rng(0), dataclasses.replace(CONFIG, crops=4, crop_frames=8)
    codes = [np.full((count, 40), count, np.int16) for count in (1, 2, 4)]
    for wanted, found in ((1, 1), (2, 2), (3, 4), (4, 4)):
        drawn = entropy_fit.draw(codes, config, rng, wanted, Grid(5))
        assert drawn.shape == (4, wanted, 8) and (drawn == found).all()


def test_an_artifact_takes_tables_and_a_new_id(artifact_folder, tmp_path):
    folder, data = tmp_path / "model", tmp_path / "data"
    shutil.copytree(artifact_folder, folder)
    for name, seed in (("speech/a.wav", 0), ("music/b.wav", 1)):
        (data / name).parent.mkdir(parents=True)
        soundfile.write(data / name, tiny.clip(3, seed), tiny.CONFIG.sample_rate)
    (data / "music" / "broken.wav").write_bytes(b"no audio")
    said = []
    before = load_artifact(folder)
    model_id = fit_artifact(folder, [data], 1.0, FitConfig(hidden=8, steps=3, crops=2, crop_frames=16), said.append)
    after = load_artifact(folder)
    assert model_id == after.model_id.hex() != before.model_id.hex()
    assert before.tables is None and after.tables is not None
    assert "not used" in said[0] and "broken.wav" in said[0]
    assert "0.1 minutes of 2 files" in said[1] and len(said) == 5
    pcm = tiny.clip(2) / 32768
    codec = load(folder)
    decoded = codec.decode(codec.encode(pcm, 8000, codec.spec.bitrate(4)))[0]
    plain = codec.decode(codec.encode(pcm, 8000, codec.spec.bitrate(4), entropy="none"))[0]
    np.testing.assert_array_equal(decoded, plain)
    (folder / "entropy.npz").unlink()
    with pytest.raises(ArtifactError, match=r"damaged: entropy\.npz"):
        load_artifact(folder)


def test_files_come_in_turn_from_every_folder(tmp_path):
    for name in ("a/1.wav", "a/2.flac", "a/3.wav", "b/1.ogg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.parent.name for path in spread([tmp_path])] == ["a", "b", "a", "a"]


# codes of levels that a codec got


LEVELS = Levels(2, 1, 0.7)


def with_levels():
    """The codebooks with one of levels behind the first, and codes in which it follows from the frame before."""
    wide = np.pad(made.codebooks(), ((0, 0), (0, 0), (0, 2)))
    entries = np.zeros((1, made.SIZE, wide.shape[2]), np.float32)
    entries[0, :, -2:] = np.random.default_rng(1).normal(0, 0.3, (made.SIZE, 2))
    codebooks = np.insert(wide, 1, entries, axis=0)
    rng = np.random.default_rng(2)
    codes = []
    for clip in held():
        start = rng.integers(0, made.SIZE)
        levels = (start + 3 * np.arange(clip.shape[1])) % made.SIZE
        codes.append(np.insert(clip, 1, levels, axis=0).astype(np.int16))
    return codebooks, codes


def test_tables_for_levels_learn_them_and_keep_what_they_knew(learned):
    codebooks, codes = with_levels()
    coder = ContextCoder(extended(learned, LEVELS, codes, codebooks, CONFIG), codebooks)
    clip = codes[-1].astype(np.int64)[None]
    np.testing.assert_array_equal(coder.decode(coder.encode(clip), clip.shape), clip)
    found, before = coder.bits(clip), ContextCoder(learned, made.codebooks()).bits(np.delete(clip, 1, axis=1))
    np.testing.assert_array_equal(np.delete(found, [1, 2]), np.delete(before, 1))
    assert found[1] < 0.5 * 5 * clip.shape[2]


def test_tables_of_another_codec_are_not_extended(learned):
    codebooks, codes = with_levels()
    with pytest.raises(ConfigError, match=f"tables are of {made.QUANTIZERS} codebooks; expected {made.QUANTIZERS + 1}"):
        extended(learned, LEVELS, codes, np.concatenate([codebooks, codebooks[:1]]), CONFIG)
    with pytest.raises(ConfigError, match="no codes of levels"):
        extending(learned, None)
