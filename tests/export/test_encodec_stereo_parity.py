"""A model of EnCodec's 48 kHz weights beside EncodecModel of `transformers`: codes, gains and sound of all segments."""

import dataclasses

import numpy as np
import pytest
import torch

import soundstream
from benchmarks import encodec_parity
from soundstream.export.published import import_published
from soundstream.nn.families import encodec

pytest.importorskip("transformers")

CONFIG = dataclasses.replace(encodec.VARIANTS["48khz"], channels=4, latent_dim=16)
STEP = CONFIG.segment_samples - CONFIG.overlap_samples
RATE = CONFIG.sample_rate


@pytest.fixture(scope="module")
def original():
    return encodec_parity.original(**encodec_parity.STEREO, num_filters=4, hidden_size=16)


@pytest.fixture(scope="module")
def codec(original, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    original.save_pretrained(folder / "theirs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(encodec.VARIANTS, "48khz", CONFIG)
        import_published("encodec", "48khz", folder / "theirs/model.safetensors", folder / "ours")
    return soundstream.load(folder / "ours", postfilter=False)


def sounds():
    rng = np.random.default_rng(0)
    loud = rng.uniform(-1, 1, (2, 12_000))
    return {
        "seconds": 0.2 * rng.normal(size=(2, 100_001)) * np.linspace(0.01, 1, 100_001),
        "a second": 0.2 * rng.normal(size=(2, RATE)),
        "one sample more than a step": 0.2 * rng.normal(size=(2, STEP + 1)),
        "odd": 0.2 * rng.normal(size=(2, 10_007)),
        "one sample": np.full((2, 1), 0.5),
        "less than a hop": 0.2 * rng.normal(size=(2, 200)),
        "few frames": 0.2 * rng.normal(size=(2, 1601)),
        "one channel": np.stack([0.2 * rng.normal(size=9_000), np.zeros(9_000)]),
        "silence": np.zeros((2, STEP + 100)),
        "full scale": np.sign(loud),
        "loud": loud,
    }


@pytest.mark.parametrize("kilobits", [3, 6, 12, 24])
@pytest.mark.parametrize("name", sounds())
@torch.no_grad()
def test_codes_gains_and_sound_are_those_of_the_original(original, codec, name, kilobits):
    pcm = sounds()[name].astype(np.float32)
    theirs = original.encode(torch.from_numpy(pcm)[None], bandwidth=float(kilobits))
    codes, gains = encodec_parity.joined(theirs, codec.spec.segments_of(pcm.shape[1]))
    ours, side = codec.split_codes(codec.to_codes(pcm, RATE, 1000 * kilobits, effort=1))
    assert ours.shape == codes.shape and len(ours) == int(kilobits / 1.5)
    assert (ours == codes).mean() >= 0.999
    np.testing.assert_allclose(side, gains, rtol=1e-6)
    heard = encodec_parity.decoded(original, theirs, codec.spec.segments_of(pcm.shape[1]))[:, : pcm.shape[1]]
    found = codec.from_codes(codec.join_codes(codes, gains), num_samples=pcm.shape[1])
    np.testing.assert_allclose(found, heard, rtol=0, atol=1e-4)
    assert np.abs(heard).max() > (1e-3 if name != "silence" else 0)


@torch.no_grad()
def test_pytorch_computes_the_same(original):
    model, pcm = encodec.convert(original.state_dict(), CONFIG), torch.from_numpy(sounds()["odd"]).float()[None]
    theirs = original.encode(pcm, bandwidth=24.0)
    assert (model.quantizer.encode(model.encode(pcm), 16) == theirs.audio_codes[0]).float().mean() >= 0.999
    heard = original.decode(theirs.audio_codes, theirs.audio_scales).audio_values
    found = model.decode(model.quantizer.decode(theirs.audio_codes[0]), None, model.side(pcm))
    torch.testing.assert_close(found, heard, rtol=0, atol=1e-5)
