"""Mimi's networks and their artifact: any chunks, a window that ends, split codebooks, counts of the paper's model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import soundstream
from mimi_weights import CONFIG, HOP, filled
from signals import noise
from soundstream.errors import ConfigError
from soundstream.export.artifact import export
from soundstream.export.parity import check_parity
from soundstream.nn.families import family, mimi
from soundstream.nn.layers.transformer import CausalTransformer
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import DecoderStream, EncoderStream, LatentStream


@pytest.fixture(scope="module")
def model():
    return filled(mimi.build(CONFIG))


@pytest.fixture(scope="module")
def codec(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mimi") / "artifact"
    export(model, folder)
    return soundstream.load(folder, postfilter=False)


def test_the_published_model_has_its_parameters():
    config = family("mimi").VARIANTS["24khz"]
    with torch.device("meta"):
        networks = mimi.encoder(config), mimi.decoder(config)
    counted = sum(parameter.numel() for network in networks for parameter in network.parameters())
    phases = sum((stride - 1) * width for stride, width in zip((8, 6, 5, 4), (512, 256, 128, 64), strict=True))
    biases = 3 * config.latent_dim  # of the two layers that change the rate, which have none there
    projections = 2 * 2 * config.latent_dim * config.codebook_dim
    assert counted == 79_308_609 - projections + phases + biases
    assert (config.hop_length, config.spec().frame_rate, config.spec().bitrate(8)) == (1920, 12.5, 1100)


@pytest.mark.parametrize("samples", [HOP - 1, HOP, 40 * HOP + 77])
@pytest.mark.parametrize("size", [777, HOP, 9 * HOP])
@torch.no_grad()
def test_sound_in_any_pieces_gives_the_latents_of_the_whole(model, codec, samples, size):
    pcm, stream = noise(samples), LatentStream(codec.model, 2)
    expected = model.encode(torch.from_numpy(np.pad(pcm, ((0, 0), (0, -samples % HOP))))[:, None])
    parts = [stream.push(pcm[:, start : start + size]) for start in range(0, samples, size)]
    np.testing.assert_allclose(np.concatenate([*parts, stream.flush()], axis=2), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 40])
@torch.no_grad()
def test_latents_in_any_pieces_give_the_sound_of_the_whole(model, codec, size):
    latents = np.random.default_rng(0).normal(size=(2, CONFIG.latent_dim, 40)).astype(np.float32)
    stream = DecoderStream(codec.model, 2)
    found = np.concatenate([stream.push_latents(latents[..., i : i + size]) for i in range(0, 40, size)], axis=1)
    np.testing.assert_allclose(found, model.decode(torch.from_numpy(latents))[:, 0], rtol=0, atol=1e-5)


def test_a_frame_of_a_layer_sees_its_window_and_no_more():
    torch.manual_seed(0)
    layer = CausalTransformer(8, layers=1, heads=2, feedforward=8, window=5)
    x = torch.randn(1, 8, 1, 12, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(x)[..., 9].sum(), x)
    assert slope.abs().sum((0, 1, 2)).nonzero().flatten().tolist() == [5, 6, 7, 8, 9]


def test_only_distances_count():
    torch.manual_seed(0)
    layer = CausalTransformer(8, layers=2, heads=2, feedforward=8, window=4).double()
    x = torch.randn(1, 8, 1, 20).double()
    with torch.no_grad():
        late = layer(x[..., 6:])[..., 6:]  # two windows less one frame each behind
        torch.testing.assert_close(layer(x)[..., 12:], late, rtol=0, atol=1e-12)


def test_silence_before_a_sound_is_not_the_same_as_nothing(model):
    x = torch.from_numpy(noise(10 * HOP, 1))[:, None]
    with torch.no_grad():
        after = model.encode(torch.cat([torch.zeros(1, 1, 4 * HOP), x], dim=2))[..., 4:]
        assert (after - model.encode(x)).abs().max() > 1e-3


def test_groups_code_the_same_latents_each_by_itself(codec):
    assert codec.spec.group_starts == (0, 1)
    pcm, spec = noise(20 * HOP, 1), codec.spec
    streams = [EncoderStream(codec.model, 1, EncodeOptions(spec.bitrate(n), effort=1)) for n in (1, 6)]
    few, all_of_them = (stream.push(pcm) for stream in streams)
    np.testing.assert_array_equal(few[:, 0], all_of_them[:, 0])
    latents = LatentStream(codec.model, 1).push(pcm)
    moved = latents.copy()
    quantizer = codec.model.quantizer
    moved += quantizer.decode(all_of_them[:, :1]) - latents  # the first group leaves nothing over
    assert (quantizer.encode(moved, 6)[:, 1] != all_of_them[:, 1]).any()
    assert (quantizer.encode(latents, 6)[:, 1] == all_of_them[:, 1]).all()


def test_its_artifact_keeps_the_weights_as_they_are(model, codec):
    parity = check_parity(model, codec.folder, noise(30 * HOP, 1)[0])
    assert parity.codes_equal > 0.999 and parity.stored_snr_db > 90
    assert codec.spec.is_causal and not codec.spec.start_frames


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"heads": 3}, "expected an even part for each of 3 heads"), ({"film": "decoder"}, "expected encoder")],
)
def test_what_the_networks_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **settings)


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = mimi.build(CONFIG)
    found = model(0.1 * torch.randn(2, 1, 20 * HOP), torch.tensor([6, 2]), torch.rand(2, CONFIG.condition_dim, 20))
    (found.audio.square().mean() + found.commitment).backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in model.parameters())
