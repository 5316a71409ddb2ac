"""A model of VRVQ's weights beside its authors' code: what that once made of the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.originals import imported, sound_of
from benchmarks.vrvq_parity import GOLDEN_LEVEL, codes_of
from soundstream.nn.families import vrvq
from soundstream.runtime.stream import LatentStream
from vrvq_weights import THEIRS, published

GOLDEN = np.load(Path(__file__).parent.parent / "golden/vrvq.npz")


def saved(folder):
    metadata = {"kwargs": {"model_type": "VBR", "full_codebook_rate": 0.25}}
    torch.save({"state_dict": published(THEIRS), "metadata": metadata}, folder / "weights.pth")
    return folder / "weights.pth"


@pytest.fixture(scope="module")
def codec():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vrvq.VARIANTS, "44khz", THEIRS)
        with imported("vrvq", "44khz", saved) as ours:
            _ = ours.model.encoder, ours.model.decoder  # while their files are there
            yield ours


def test_importance_is_that_of_the_original(codec):
    stream = LatentStream(codec.model, 1)
    found = np.concatenate([stream.push(GOLDEN["pcm"]), stream.flush()], axis=2)[0, -1]
    np.testing.assert_allclose(found, GOLDEN["importance"], rtol=0, atol=1e-5)


def test_a_file_holds_the_codes_that_the_original_once_gave_frame_by_frame(codec):
    theirs = GOLDEN["codes"].astype(np.int64)
    ours = codes_of(codec, codec.encode(GOLDEN["pcm"], THEIRS.sample_rate, quality=GOLDEN_LEVEL, effort=1))
    np.testing.assert_array_equal((ours >= 0).sum(axis=0), (theirs >= 0).sum(axis=0))
    assert (ours == theirs).mean() >= 0.99
    assert len(np.unique((theirs >= 0).sum(axis=0))) > 3


def test_sound_of_their_codes_is_theirs(codec):
    heard = GOLDEN["heard"]
    found = sound_of(codec, GOLDEN["codes"].astype(np.int64))
    np.testing.assert_allclose(found[:, : heard.shape[1]], heard, rtol=0, atol=1e-5)
    assert np.abs(heard).max() > 0.1
