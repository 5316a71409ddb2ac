"""A model of DAC's weights beside DacModel of `transformers`, which has the same weights: codes and sound."""

import numpy as np
import pytest
import torch

import soundstream
from dac_weights import HOP
from soundstream.export.published import import_published
from soundstream.nn.families import dac
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import DecoderStream, EncoderStream

transformers = pytest.importorskip("transformers")

STRIDES = {"24khz": (2, 4, 5, 8), "44khz": (2, 4, 8, 8)}
NARROW = {"encoder_channels": 8, "decoder_channels": 64, "latent_dim": 32, "num_quantizers": 5}


@torch.no_grad()
def random(strides):
    """An original with random alphas, biases and entries."""
    torch.manual_seed(0)
    rates = {"downsampling_ratios": [*strides], "upsampling_ratios": [*strides[::-1]], "n_codebooks": 5}
    sizes = {"encoder_hidden_size": 8, "decoder_hidden_size": 64, "hidden_size": 32}
    model = transformers.DacModel(transformers.DacConfig(**rates, **sizes)).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith("alpha"):
            tensor.copy_(1 + 0.3 * torch.randn_like(tensor))
        elif name.endswith("bias") or "codebook" in name:
            tensor.normal_(0, 0.05)
        else:
            fan = tensor[0].numel() if "conv_t" not in name else 2 * len(tensor)
            tensor.normal_(0, (0.3 if name.endswith("conv2.weight") else 0.8) / fan**0.5)
    return model


@pytest.fixture(scope="module", params=STRIDES)
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def original(variant):
    return random(STRIDES[variant])


@pytest.fixture(scope="module")
def config(variant):
    return dac.Config(**NARROW, strides=STRIDES[variant], sample_rate=int(variant[:2]) * 1000)


@pytest.fixture(scope="module")
def codec(original, config, variant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    original.save_pretrained(folder / "theirs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dac.VARIANTS, variant, config)
        import_published("dac", variant, folder / "theirs/model.safetensors", folder / "ours")
    return soundstream.load(folder / "ours", postfilter=False)


def sounds():
    rng = np.random.default_rng(0)
    return {
        "noise": 0.2 * rng.normal(size=(1, 70_000)),
        "odd": 0.2 * rng.normal(size=(1, 10_007)),
        "one sample": np.full((1, 1), 0.5),
        "a frame and a sample": 0.2 * rng.normal(size=(1, HOP + 1)),
        "silence": np.zeros((1, 9_000)),
        "full scale": np.sign(rng.uniform(-1, 1, (1, 9_000))),
    }


def whole_hops(pcm, hop):
    """As the original's own program fills a signal up; `transformers` cuts it instead."""
    return torch.from_numpy(np.pad(pcm, ((0, 0), (0, -pcm.shape[1] % hop))).astype(np.float32))[None]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", sounds())
@torch.no_grad()
def test_codes_and_sound_are_those_of_the_original(original, codec, name, count):
    pcm, hop = sounds()[name].astype(np.float32), codec.spec.hop_length
    theirs = original.encode(whole_hops(pcm, hop), n_quantizers=count).audio_codes
    stream = EncoderStream(codec.model, 1, EncodeOptions(codec.spec.bitrate(count), effort=1))
    ours = np.concatenate([stream.push(pcm), stream.flush()], axis=2)
    assert ours.shape == tuple(theirs.shape) == (1, count, -(-pcm.shape[1] // hop))
    assert (ours == theirs.numpy()).mean() >= 0.999
    heard = original.decode(audio_codes=theirs).audio_values.numpy()
    decoder = DecoderStream(codec.model, 1)
    found = np.concatenate([decoder.push(theirs.numpy()), decoder.flush()], axis=1)
    np.testing.assert_allclose(found[:, : heard.shape[1]], heard, rtol=0, atol=1e-4)
    assert not found[:, heard.shape[1] :].any() and found.shape[1] - heard.shape[1] in (0, 8)
    assert np.abs(heard).max() > 1e-2


@torch.no_grad()
def test_its_codes_tell_sounds_apart(original, codec):
    pcm = whole_hops(sounds()["noise"], codec.spec.hop_length)
    assert all(len(codes.unique()) > 10 for codes in original.encode(pcm).audio_codes[0])


@torch.no_grad()
def test_pytorch_computes_the_same(original, config):
    model = dac.convert(original.state_dict(), config)
    pcm = whole_hops(sounds()["odd"], config.hop_length)
    theirs = original.encode(pcm).audio_codes
    assert (model.quantizer.encode(model.encode(pcm), 5) == theirs).float().mean() >= 0.999
    heard = original.decode(audio_codes=theirs).audio_values
    found = model.decode(model.quantizer.decode(theirs))[:, 0, : heard.shape[-1]]
    torch.testing.assert_close(found, heard, rtol=0, atol=1e-5)


def test_stereo_is_two_signals(codec):
    pcm = np.concatenate([sounds()["odd"], sounds()["noise"][:, :10_007]]).astype(np.float32)
    both = codec.to_codes(pcm, codec.spec.sample_rate, codec.spec.bitrate(5), effort=1)
    alone = [codec.to_codes(one[None], codec.spec.sample_rate, codec.spec.bitrate(5), effort=1) for one in pcm]
    assert np.mean(both == np.stack(alone)) >= 0.999
