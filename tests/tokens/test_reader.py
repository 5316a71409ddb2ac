"""Tokens by number, in pieces, as sound and in batches; and what other programs find in the shards."""

import io
import json
import pickle
import tarfile

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from soundstream import ConfigError, InputError, ModelMismatch, audio, tokens
from soundstream.tokens import Delay, Detokenizer, Flat, Parallel, TokenDataset, Vocabulary, collate


@pytest.fixture(scope="module")
def opened(made):
    return tokens.open(made)


def test_a_piece_is_that_part_of_the_codes(opened):
    rng = np.random.default_rng(0)
    for _ in range(50):
        i = int(rng.integers(len(opened)))
        whole = opened[i].codes
        start, frames = int(rng.integers(0, whole.shape[-1] + 1)), int(rng.integers(1, 9))
        np.testing.assert_array_equal(opened.codes(i, start, frames), whole[..., start : start + frames])


def test_sounds_are_a_sequence(opened):
    assert len(opened) == 12 and len(list(opened)) == 12
    np.testing.assert_array_equal(opened[-1].codes, opened[11].codes)
    assert [one.source for one in opened[2:4]] == [opened[2].source, opened[3].source]
    for wrong in (12, -13):
        with pytest.raises(IndexError, match=f"sound {wrong} of 12"):
            opened[wrong]
    assert opened.duration_s == pytest.approx(sum(one.duration_s for one in opened))


def test_sound_comes_back_with_its_length_and_rate(opened, codec):
    for i, one in enumerate(opened):
        pcm, rate = opened.to_pcm(i, codec=codec)
        assert rate == one.sample_rate and pcm.shape == (one.channels, one.num_samples)
        original, _ = audio.read(one.source)
        decoded, _ = codec.decode(codec.encode(original, rate, 1500))
        np.testing.assert_allclose(pcm, decoded, atol=1e-6)
    pcm, rate = opened.to_pcm(1, 8000, codec)
    assert rate == 8000 and pcm.shape[1] == round(opened[1].num_samples * 8000 / opened[1].sample_rate)


def test_the_model_of_the_tokens_is_asked_for(opened, other_codec, tiny_artifact, monkeypatch):
    with pytest.raises(ModelMismatch, match="the tokens are of"):
        opened.to_pcm(0, codec=other_codec)
    with pytest.raises(ModelMismatch, match="not among the shipped ones"):
        opened.to_pcm(0)
    monkeypatch.setenv("SOUNDSTREAM_MODELS", str(tiny_artifact.parent))
    assert opened.to_pcm(1)[0].shape == (1, opened[1].num_samples)


def test_opened_tokens_go_to_other_processes(opened):
    again = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(again[3].codes, opened[3].codes)


def test_what_is_no_folder_of_tokens_is_refused(tmp_path, made):
    with pytest.raises(InputError, match="holds no tokens"):
        tokens.open(tmp_path)
    settings = json.loads((made / "tokens.json").read_bytes())
    (tmp_path / "tokens.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="is not complete"):
        tokens.open(tmp_path)
    for wrong, said in (({"format": 2}, "format 2"), ({"effort": None, "spec": 5}, "spec")):
        (tmp_path / "tokens.json").write_text(json.dumps(settings | wrong))
        with pytest.raises(ConfigError, match=said):
            tokens.open(tmp_path)
    (tmp_path / "tokens.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        tokens.open(tmp_path)


def test_shards_are_plain_tars_of_arrays_and_json(opened, made):
    """As WebDataset, `datasets` and Ray read them: members by key, in the order of the plan."""
    found = {}
    for path in sorted(made.glob("*.tar")):
        with tarfile.open(path) as tar:
            assert json.loads(tar.pax_headers["SOUNDSTREAM.tokens"])["spec"] == opened.spec.to_dict()
            for member in tar:
                key, _, kind = member.name.partition(".")
                found.setdefault(key, {})[kind] = tar.extractfile(member).read()
                assert (member.mtime, member.uid, member.uname) == (0, 0, "")
    streams = [(one, i) for one in opened for i in range(one.channels)]
    assert sorted(found) == list(found) and len(found) == len(streams)
    for entry, (one, stream) in zip(found.values(), streams, strict=True):
        codes, facts = np.load(io.BytesIO(entry["codes.npy"])), json.loads(entry["json"])
        np.testing.assert_array_equal(codes, one.codes if one.channels == 1 else one.codes[stream])
        assert codes.dtype == np.int16
        assert (facts["source"], facts["stream"], facts["streams"]) == (one.source, stream, one.channels)


# for language models


PATTERNS = pytest.mark.parametrize("kind", [Parallel, Delay, Flat])


@PATTERNS
def test_a_dataset_holds_every_frame_of_every_channel_once(opened, kind):
    dataset = TokenDataset(opened, kind(Vocabulary.of(opened.spec, 2)), frames=8)
    pieces = [dataset.pattern.decode(dataset[i]) for i in range(len(dataset))]
    streams = [codes for one in opened for codes in (one.codes if one.channels > 1 else one.codes[None])]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), np.concatenate(streams, axis=1))
    assert max(piece.shape[1] for piece in pieces) == 8
    whole = TokenDataset(opened, dataset.pattern, frames=8, min_frames=8)
    assert {whole.pattern.decode(whole[i]).shape[1] for i in range(len(whole))} == {8}


@pytest.mark.parametrize(("kind", "workers"), [(Flat, 0), (Parallel, 0), (Delay, 0), (Delay, 1)])
def test_batches_are_filled_up_with_pads(opened, kind, workers):
    dataset = TokenDataset(opened, kind(Vocabulary.of(opened.spec, 2)), frames=10)
    dataset = pickle.loads(pickle.dumps(dataset))  # as it goes to a worker
    loader = DataLoader(
        dataset,
        4,
        collate_fn=dataset.collate,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )
    batches, first = list(loader), 0
    for batch in batches:
        assert batch["tokens"].dtype == batch["lengths"].dtype == torch.int64
        for row, length in zip(batch["tokens"], batch["lengths"], strict=True):
            np.testing.assert_array_equal(row[..., :length], dataset[first])
            assert (row[..., length:] == dataset.pattern.vocabulary.pad).all()
            first += 1
    assert first == len(dataset)


def test_a_batch_of_any_arrays():
    batch = collate([np.array([1, 2, 3]), np.array([4])], pad=9)
    assert batch["tokens"].tolist() == [[1, 2, 3], [4, 9, 9]] and batch["lengths"].tolist() == [3, 1]


def test_pieces_that_no_sound_has_are_refused(opened):
    pattern = Parallel(Vocabulary.of(opened.spec, 2))
    with pytest.raises(ConfigError, match="has 9999 frames"):
        TokenDataset(opened, pattern, 9999, 9999)
    for frames, least in ((0, 0), (4, 5)):
        with pytest.raises(ConfigError, match=f"frames is {frames}; expected at least"):
            TokenDataset(opened, pattern, frames, least)


@PATTERNS
@pytest.mark.parametrize("step", [1, 2, 5])
def test_sound_of_tokens_while_they_come_is_that_of_the_codes(opened, codec, kind, step):
    one = opened[4]
    pattern = kind(Vocabulary.of(opened.spec, 2))
    stream, tokens_of = Detokenizer(codec, pattern, one.sample_rate), pattern.encode(one.codes)
    parts = [stream.push(tokens_of[..., i : i + step]) for i in range(0, tokens_of.shape[-1], step)]
    assert sum(part.shape[1] for part in parts) > one.num_samples - 4 * codec.spec.hop_length  # all but the last frames
    found = np.concatenate([*parts, stream.flush(one.num_samples)], axis=1)
    np.testing.assert_allclose(found, codec.from_codes(one.codes, one.sample_rate, one.num_samples), atol=1e-6)
