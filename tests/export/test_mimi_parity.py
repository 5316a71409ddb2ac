"""A model of Mimi's weights beside MimiModel of `transformers`, which has the same weights: codes and sound."""

from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmarks import mimi_parity
from benchmarks.originals import imported, sound_of
from mimi_weights import CONFIG, HOP, by_their_authors
from soundstream.nn.families import mimi

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def original():
    return mimi_parity.original(CONFIG)


@pytest.fixture(scope="module")
def codec(original):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(mimi.VARIANTS, "24khz", CONFIG)
        with imported("mimi", "24khz", partial(mimi_parity.saved, original)) as ours:
            _ = ours.model.encoder, ours.model.decoder  # loaded while their files are there
            yield ours


def sounds():
    rng = np.random.default_rng(0)
    loud = rng.uniform(-1, 1, (1, 4 * HOP))
    waves = np.sin(np.linspace(0, 4000, 25 * HOP) ** 1.2) * np.linspace(0, 1, 25 * HOP)
    return {
        "noise": 0.2 * waves + 0.1 * rng.normal(size=(1, 25 * HOP)),  # of which the window is a fourth
        "one sample": np.full((1, 1), 0.5),
        "silence": np.zeros((1, 5 * HOP)),
        "full scale": np.sign(loud),
        "loud": loud,
    }


@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize("name", sounds())
@torch.no_grad()
def test_codes_and_sound_are_those_of_the_original(original, codec, name, count):
    pcm = mimi_parity.whole_frames(sounds()[name].astype(np.float32), CONFIG)
    theirs = mimi_parity.codes_of(original, pcm, count)
    ours = codec.to_codes(pcm, CONFIG.sample_rate, codec.spec.bitrate(count), effort=1)
    assert ours.shape == theirs.shape == (count, pcm.shape[1] // HOP)
    assert (ours == theirs).mean() >= 0.999
    heard = mimi_parity.decoded(original, theirs)
    np.testing.assert_allclose(sound_of(codec, theirs), heard, rtol=0, atol=1e-4)
    assert np.abs(heard).max() > 1e-2


def test_its_codes_tell_sounds_apart(original):
    codes = mimi_parity.codes_of(original, sounds()["noise"].astype(np.float32))
    assert all(len(np.unique(row)) > 2 for row in codes)


def test_the_authors_file_makes_the_same_model(original, codec):
    tensors = by_their_authors(original.state_dict(), CONFIG.heads)
    assert any(name.endswith("in_projs.0.weight") for name in tensors)

    def save(folder):
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "mimi.safetensors")
        return folder / "mimi.safetensors"

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(mimi.VARIANTS, "24khz", CONFIG)
        with imported("mimi", "24khz", save) as ours:
            assert ours.model_id == codec.model_id
