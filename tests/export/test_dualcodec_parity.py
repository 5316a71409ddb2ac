"""A model of DualCodec's weights beside the package `dualcodec`: what it once made of the same weights, and itself."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmarks import dualcodec_parity
from benchmarks.originals import imported, sound_of
from dualcodec_weights import CONFIG, HOP, features, published
from soundstream.nn.families import dualcodec

GOLDEN = Path(__file__).parent.parent / "golden/dualcodec.npz"
needs_package = pytest.mark.skipif(
    not (find_spec("dualcodec") and find_spec("easydict")), reason="needs the package dualcodec"
)


def saved(folder):
    save_file(published(), folder / "dualcodec.safetensors")
    return folder / "dualcodec.safetensors"


@pytest.fixture(scope="module")
def codec():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dualcodec.VARIANTS, "12hz_v1", CONFIG)
        with imported("dualcodec", "12hz_v1", saved) as ours:
            _ = ours.model.encoder, ours.model.decoder, ours.model.features  # while their files are there
            yield ours


@pytest.fixture(scope="module")
def original():
    model = dualcodec_parity.original(CONFIG)
    model.load_state_dict(published())
    return model


def sounds():
    rng = np.random.default_rng(0)
    return {
        "noise": 0.2 * rng.normal(size=(1, 40 * HOP)),
        "odd": 0.2 * rng.normal(size=(1, 10_007)),
        "one sample": np.full((1, 1), 0.5),
        "a frame and a sample": 0.2 * rng.normal(size=(1, HOP + 1)),
        "silence": np.zeros((1, 3 * HOP)),
        "full scale": np.sign(rng.uniform(-1, 1, (1, 5 * HOP))),
    }


def given(name):
    """A sound, and features of as many frames as it has."""
    pcm = sounds()[name].astype(np.float32)
    return pcm, features(dualcodec_parity.frames_of(pcm, CONFIG))


def compared(codec, pcm, of_it, theirs, heard):
    """Our codes of a sound, and our sound of their codes, with theirs."""
    bitrate = codec.spec.bitrate(len(theirs))
    ours = codec.to_codes(pcm, CONFIG.sample_rate, bitrate, of_it, effort=1)
    assert ours.shape == theirs.shape
    assert (ours == theirs).mean() >= 0.999
    found = sound_of(codec, theirs)
    np.testing.assert_allclose(found[:, : heard.shape[1]], heard, rtol=0, atol=1e-4)
    assert found.shape[1] - heard.shape[1] == 4 and not found[:, heard.shape[1] :].any()
    assert np.abs(heard).max() > 1e-2


def test_codes_and_sound_are_those_that_the_original_once_gave(codec):
    golden = np.load(GOLDEN)
    compared(codec, *given("odd"), golden["codes"].astype(np.int64), golden["sound"])
    pcm, of_it = given("noise")
    ours = codec.to_codes(pcm, CONFIG.sample_rate, codec.spec.bitrate(4), of_it, effort=1)
    assert (ours == golden["codes_of_noise"]).mean() >= 0.999
    assert all(len(np.unique(row)) > 5 for row in ours)


@needs_package
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("name", sounds())
def test_codes_and_sound_are_those_of_the_original(original, codec, name, count):
    pcm, of_it = given(name)
    theirs = dualcodec_parity.codes_of(original, pcm, of_it, count)
    compared(codec, pcm, of_it, theirs, dualcodec_parity.decoded(original, theirs))


@needs_package
def test_a_file_of_the_original_makes_the_same_model(original, codec):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dualcodec.VARIANTS, "12hz_v1", CONFIG)
        with imported("dualcodec", "12hz_v1", partial(dualcodec_parity.saved, original)) as ours:
            assert ours.model_id == codec.model_id


@torch.no_grad()
def test_pytorch_computes_the_same(codec):
    model, (pcm, of_it) = dualcodec.convert(published(), CONFIG), given("noise")
    latents = model.encode(torch.from_numpy(pcm)[None], features=torch.from_numpy(of_it)[None])
    codes = model.quantizer.encode(latents, 4)
    ours = codec.to_codes(pcm, CONFIG.sample_rate, codec.spec.bitrate(4), of_it, effort=1)
    assert (codes[0].numpy() == ours).mean() >= 0.999
    heard = model.decode(model.quantizer.decode(torch.from_numpy(ours)[None]))[0].numpy()
    np.testing.assert_allclose(sound_of(codec, ours), heard, rtol=0, atol=1e-5)
