"""A model of EnCodec's weights beside EncodecModel of `transformers`, which has the same weights: codes and sound."""

import numpy as np
import pytest
import torch

import soundstream
from benchmarks import encodec_parity
from encodec_weights import HOP
from soundstream.export.published import import_published
from soundstream.nn.families import encodec
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import DecoderStream, EncoderStream

pytest.importorskip("transformers")

CONFIG = encodec.Config(channels=4, latent_dim=16)


@pytest.fixture(scope="module")
def original():
    return encodec_parity.original(num_filters=4, hidden_size=16)


@pytest.fixture(scope="module")
def codec(original, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    original.save_pretrained(folder / "theirs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(encodec.VARIANTS, "24khz", CONFIG)
        import_published("encodec", "24khz", folder / "theirs/model.safetensors", folder / "ours")
    return soundstream.load(folder / "ours", postfilter=False)


def sounds():
    rng = np.random.default_rng(0)
    loud = rng.uniform(-1, 1, (1, 12_000))
    return {
        "noise": 0.2 * rng.normal(size=(1, 24_000)),
        "odd": 0.2 * rng.normal(size=(1, 10_007)),
        "one sample": np.full((1, 1), 0.5),
        "less than a hop": 0.2 * rng.normal(size=(1, 200)),
        "few frames": 0.2 * rng.normal(size=(1, 1601)),
        "silence": np.zeros((1, 9_000)),
        "full scale": np.sign(loud),
        "loud": loud,
    }


@pytest.mark.parametrize("bitrate", encodec_parity.RATES)
@pytest.mark.parametrize("name", sounds())
@torch.no_grad()
def test_codes_and_sound_are_those_of_the_original(original, codec, name, bitrate):
    pcm = sounds()[name].astype(np.float32)
    theirs = original.encode(torch.from_numpy(pcm)[None], bandwidth=bitrate / 1000).audio_codes[0]
    stream = EncoderStream(codec.model, 1, EncodeOptions(bitrate, effort=1))
    ours = np.concatenate([stream.push(pcm), stream.flush()], axis=2)
    assert ours.shape == tuple(theirs.shape) == (1, bitrate // 750, -(-pcm.shape[1] // HOP))
    assert (ours == theirs.numpy()).mean() >= 0.999
    heard = original.decode(theirs[None], [None]).audio_values[0].numpy()
    np.testing.assert_allclose(DecoderStream(codec.model, 1).push(theirs.numpy()), heard, rtol=0, atol=1e-4)
    assert np.abs(heard).max() > 1e-2


@torch.no_grad()
def test_its_codes_tell_sounds_apart(original):
    theirs = original.encode(torch.from_numpy(sounds()["noise"]).float()[None], bandwidth=1.5).audio_codes[0, 0]
    assert all(len(codes.unique()) > 20 for codes in theirs)


@torch.no_grad()
def test_pytorch_computes_the_same(original):
    model = encodec.convert(original.state_dict(), CONFIG)
    pcm = torch.from_numpy(sounds()["odd"]).float()[None]
    theirs = original.encode(pcm, bandwidth=24.0).audio_codes[0]
    assert (model.quantizer.encode(model.encode(pcm), 32) == theirs).float().mean() >= 0.999
    heard = original.decode(theirs[None], [None]).audio_values
    torch.testing.assert_close(model.decode(model.quantizer.decode(theirs)), heard, rtol=0, atol=1e-5)
