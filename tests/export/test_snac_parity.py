"""A model of SNAC's weights beside that of the package `snac`, which has the same weights: codes and sound."""

from functools import partial

import numpy as np
import pytest
import torch

from benchmarks import snac_parity
from benchmarks.originals import imported, latents_of, sound_of
from snac_weights import ATTENTIVE, CONFIG
from soundstream.nn.families import snac

pytest.importorskip("snac")

KINDS = {"24khz": CONFIG, "32khz": ATTENTIVE}


@pytest.fixture(scope="module", params=KINDS)
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def original(variant):
    return snac_parity.original(KINDS[variant])


@pytest.fixture(scope="module")
def codec(original, variant):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(snac.VARIANTS, variant, KINDS[variant])
        with imported("snac", variant, partial(snac_parity.saved, original)) as ours:
            _ = ours.model.encoder, ours.model.decoder  # loaded while their files are there
            yield ours


def sounds():
    rng = np.random.default_rng(0)
    loud = rng.uniform(-1, 1, (1, 14_000))
    return {
        "noise": 0.2 * rng.normal(size=(1, 24_576)),
        "odd": 0.2 * rng.normal(size=(1, 13_007)),
        "one sample": np.full((1, 1), 0.5),
        "silence": np.zeros((1, 9_000)),
        "full scale": np.sign(loud),
        "loud": loud,
    }


@pytest.mark.parametrize("name", sounds())
@torch.no_grad()
def test_codes_and_sound_are_those_of_the_original(original, codec, variant, name):
    pcm = sounds()[name].astype(np.float32)
    theirs, config = snac_parity.codes_of(original, pcm), KINDS[variant]
    ours = codec.to_codes(pcm, config.sample_rate)
    padded = config.spec().granule * config.hop_length
    assert (
        ours.shape == theirs.shape == (config.num_quantizers, -(-pcm.shape[1] // padded) * padded // config.hop_length)
    )
    assert (ours == theirs).mean() >= 0.999
    with snac_parity.our_noise(config):
        heard = snac_parity.decoded(original, theirs)
    np.testing.assert_allclose(sound_of(codec, theirs), heard, rtol=0, atol=1e-4)
    assert np.abs(heard).max() > 1e-2


@torch.no_grad()
def test_its_codes_tell_sounds_apart(original):
    codes = snac_parity.codes_of(original, sounds()["noise"].astype(np.float32))
    assert all(len(np.unique(of_book)) >= 5 for of_book in codes)


@torch.no_grad()
def test_the_noise_of_the_original_is_another_each_time(original, variant):
    codes = snac_parity.codes_of(original, sounds()["noise"].astype(np.float32))
    first, second = (snac_parity.decoded(original, codes) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3


@torch.no_grad()
def test_without_noise_the_original_sounds_the_same_as_it_is(original, variant, tmp_path):
    """Its weights of noise at 0, and its own draws."""
    silent = {
        name: torch.zeros_like(tensor) if name.endswith("linear.parametrizations.weight.original0") else tensor
        for name, tensor in original.state_dict().items()
    }
    config, theirs = KINDS[variant], snac_parity.original(KINDS[variant])
    theirs.load_state_dict(silent)
    model = snac.convert(silent, config)
    codes = snac_parity.codes_of(theirs, sounds()["odd"].astype(np.float32))
    heard = snac_parity.decoded(theirs, codes)
    found = model.decode(model.latents_of(torch.from_numpy(codes)[None]))[0]
    np.testing.assert_allclose(found, heard, rtol=0, atol=1e-5)


@torch.no_grad()
def test_pytorch_computes_the_same(original, codec, variant):
    config = KINDS[variant]
    model, pcm = snac.convert(original.state_dict(), config), sounds()["odd"].astype(np.float32)
    padded = original.preprocess(torch.from_numpy(pcm)[None])
    theirs = snac_parity.codes_of(original, pcm)
    assert (model.codes(padded)[0].numpy() == theirs).mean() >= 0.999
    latents = original.encoder(padded)
    torch.testing.assert_close(model.encode(padded), latents, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(latents_of(codec.model, pcm), latents, rtol=1e-4, atol=1e-4)
    with snac_parity.our_noise(config):
        heard = snac_parity.decoded(original, theirs)
    found = model.decode(model.latents_of(torch.from_numpy(theirs)[None]))[0]
    np.testing.assert_allclose(found, heard, rtol=0, atol=1e-5)
