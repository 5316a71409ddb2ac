"""SNAC's networks and their artifact: sizes of the published models, chunks that give what the whole gives, noise."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

import soundstream
from signals import joined, noise
from snac_weights import ATTENTIVE, CONFIG, SMALL, published, renamed
from soundstream.errors import ArtifactError, ConfigError
from soundstream.export.artifact import export
from soundstream.export.parity import check_parity
from soundstream.nn.families import family, snac
from soundstream.nn.layers.noise import Noise
from soundstream.nn.layers.padded import PaddedConv, PaddedUpsample
from soundstream.runtime.stream import DecoderStream, LatentStream

KINDS = {"24khz": CONFIG, "32khz": ATTENTIVE}
PUBLISHED = {
    "24khz": (19_842_914, 984, 10, 4, 32),
    "32khz": (54_546_338, 1875, 64, 32, 64),
    "44khz": (54_546_338, 2584, 64, 32, 64),
}
"""Parameters, rate, context, granule and grid."""


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return snac.convert(published(KINDS[request.param]), KINDS[request.param])


@pytest.fixture(scope="module")
def codec(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("snac") / "artifact"
    export(model, folder)
    return soundstream.load(folder, postfilter=False)


@pytest.mark.parametrize(("variant", "facts"), PUBLISHED.items(), ids=PUBLISHED)
def test_the_published_models_have_their_sizes(variant, facts):
    config = family("snac").VARIANTS[variant]
    with torch.device("meta"):
        networks = snac.encoder(config), snac.decoder(config)
    counted = sum(parameter.numel() for network in networks for parameter in network.parameters())
    width, count = config.codebook_dim, config.num_quantizers
    counted += count * (2 * width * config.latent_dim + width + config.latent_dim + 4096 * width)
    normalization = count * (width + config.latent_dim)  # sizes that are kept beside directions
    for layer in (layer for network in networks for layer in network.modules()):
        if isinstance(layer, PaddedConv | Noise):
            normalization += len(layer.weight)
        elif isinstance(layer, PaddedUpsample):  # a bias for each phase, and a size an input
            normalization += layer.conv.in_channels - len(layer.conv.bias) * (layer.stride - 1) // layer.stride
    spec = config.spec()
    found = counted + normalization, spec.bitrate(count), spec.context_frames, spec.granule, spec.grid
    assert found == facts and spec.counts == (count,)


@pytest.mark.parametrize(("frames", "size"), [(1, 77), (33, 12_288), (33, 1001), (340, 10**7), (340, 50_000)])
@torch.no_grad()
def test_sound_in_any_pieces_gives_the_latents_of_the_whole(model, codec, frames, size):
    pcm, stream = noise(frames * codec.spec.hop_length - 3), LatentStream(codec.model, 2)
    behind = -pcm.shape[1] % (codec.spec.hop_length * codec.spec.granule)
    whole = model.encode(functional.pad(torch.from_numpy(pcm)[:, None], (0, behind)))
    assert whole.shape[2] % codec.spec.granule == 0
    np.testing.assert_allclose(joined(stream.push, stream.flush, pcm, size), whole, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("frames", "size"), [(32, 1), (32, 32), (352, 31), (352, 352)])
@torch.no_grad()
def test_latents_in_any_pieces_give_the_sound_of_the_whole(model, codec, frames, size):
    """Noise included: pieces begin where its table does."""
    latents = np.random.default_rng(frames).normal(size=(2, model.config.latent_dim, frames)).astype(np.float32)
    stream = DecoderStream(codec.model, 2)
    found = joined(stream.push_latents, stream.flush, latents, size)
    assert found.shape == (2, frames * codec.spec.hop_length)
    np.testing.assert_allclose(found, model.decode(torch.from_numpy(latents))[:, 0], rtol=0, atol=2e-5)


@torch.no_grad()
def test_sound_in_any_pieces_is_the_same_bits(codec):
    latents = np.random.default_rng(0).normal(size=(1, codec.spec.latent_dim, 400)).astype(np.float32)
    streams = [DecoderStream(codec.model, 1) for _ in range(3)]
    whole, *parts = (joined(s.push_latents, s.flush, latents, n) for s, n in zip(streams, (400, 1, 97), strict=True))
    for part in parts:
        np.testing.assert_array_equal(part, whole)


@torch.no_grad()
def test_noise_is_heard_and_comes_again_after_the_grid_alone(model):
    """Of latents that do not change, sound does; it is the same a grid later."""
    spec = model.config.spec()
    latents = torch.ones(1, spec.latent_dim, 1).expand(-1, -1, 4 * spec.grid)
    pcm = model.decode(latents)[0, 0].reshape(4, -1)
    torch.testing.assert_close(pcm[2], pcm[1], rtol=0, atol=1e-5)
    whole = pcm[1].reshape(spec.grid, -1)
    differs = (whole[1:] - whole[0]).abs().amax(1)
    assert (differs > 1e-3).all()


def test_tables_of_noise_are_unlike_in_each_block_and_have_whole_periods(model):
    tables = [layer.table for layer in model.decoder.modules() if isinstance(layer, Noise)]
    period, frame = model.config.spec().period_frames, 1
    for stride, table in zip(reversed(model.config.strides), tables, strict=True):
        frame *= stride
        assert len(table) == period * frame
    assert len({tuple(table[:8].tolist()) for table in tables}) == len(tables)


@pytest.mark.parametrize("config", [CONFIG, SMALL], ids=["plain", "windows"])
def test_frames_see_no_further_than_the_context(config):
    """Of whole windows."""
    spec, model = config.spec(), snac.convert(published(config), config)
    window, hop = spec.window_frames, spec.hop_length
    frames = 2 * (spec.context_frames // window + 2) * window + window
    middle = frames // 2
    given = torch.from_numpy(noise(frames * hop, 1))[:, None].requires_grad_()
    latents = torch.randn(1, spec.latent_dim, frames).requires_grad_()
    for x, y in (
        (given, model.encode(given)[0, :, middle]),
        (latents, model.decode(latents)[0, 0, middle * hop : (middle + 1) * hop]),
    ):
        (slope,) = torch.autograd.grad(y.sum(), x)
        touched = slope.abs().amax(1)[0].reshape(frames, -1).amax(1).nonzero().flatten()
        first, last = math.floor(touched.min() / window) * window, -(-(touched.max() + 1) // window) * window - 1
        begin = middle // window * window
        reach = max(begin - first, last - (begin + window - 1))
        assert reach <= spec.context_frames and (window > 1 or reach == spec.context_frames)


def test_names_of_either_pytorch_are_the_same_model(model):
    tensors = published(model.config)
    state, other = (snac.convert(given, model.config).state_dict() for given in (tensors, renamed(tensors)))
    assert all(torch.equal(state[name], other[name]) for name in state)


def test_every_tensor_reaches_the_model():
    """One of each kind."""
    tensors = published(SMALL)
    state = snac.convert(tensors, SMALL).state_dict()
    one_of_each = {tuple(word for word in name.split(".") if not word.isdecimal()): name for name in tensors}
    for name in one_of_each.values():
        tensor = tensors[name]
        if name.endswith("inv_freq"):
            continue
        changed = snac.convert(tensors | {name: tensor + 0.5}, SMALL).state_dict()
        keys = {key for key in state if not torch.equal(changed[key], state[key])}
        assert len(keys - {"quantizer.sums"}) == 1, name


@pytest.mark.parametrize(
    "name", ["decoder.model.3.block.2.linear.parametrizations.weight.original1", "encoder.block.3.to_out.weight"]
)
def test_a_missing_tensor_is_named(name):
    with pytest.raises(ArtifactError, match=name.partition(".param")[0]):
        snac.convert({key: value for key, value in published(SMALL).items() if key != name}, SMALL)


def test_weights_of_another_model_are_refused():
    for config, other in ((CONFIG, ATTENTIVE), (ATTENTIVE, CONFIG)):
        with pytest.raises(ArtifactError, match=r"weights lack|no place|; expected"):
            snac.convert(published(other), config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_dim": 100}, "latent_dim is 100; expected the encoder's channels, 64"),
        ({"decoder_channels": 24}, "a multiple of 16"),
        ({"decoder_channels": 80}, "attention is to see 80 channels; expected a multiple of 64"),
    ],
    ids=str,
)
def test_widths_that_do_not_go_together_are_refused_by_name(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(ATTENTIVE, **change)


def test_its_artifact_computes_what_the_model_does(tmp_path):
    model = snac.convert(published(SMALL), SMALL)
    export(model, tmp_path / "small")
    parity = check_parity(model, tmp_path / "small", noise(20 * SMALL.spec().granule * SMALL.hop_length, 1)[0])
    assert parity.codes_equal > 0.999 and parity.stored_snr_db > 90


def test_live_sessions_refuse_it_by_name(codec):
    for opened in (codec.open_encoder, codec.open_decoder):
        with pytest.raises(ConfigError, match="take a causal one"):
            opened(codec.spec.sample_rate)


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = snac.build(SMALL)
    for layer in model.modules():
        if isinstance(layer, snac.WindowAttention):
            torch.nn.init.normal_(layer.out.weight, std=0.1)  # nothing reaches behind a last layer of zeros
    found = model(0.1 * torch.randn(2, 1, 32 * SMALL.hop_length), torch.tensor([4, 4]))
    (found.audio.square().mean() + found.commitment).backward()
    learning = {name: parameter for name, parameter in model.named_parameters() if not name.startswith("film")}
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in learning.values())


def test_a_fresh_model_keeps_the_size_of_its_signals():
    torch.manual_seed(0)
    model = snac.build(CONFIG)
    latents = model.encode(0.2 * torch.randn(1, 1, 40 * CONFIG.hop_length))
    assert 0.1 < latents.std() < 10
    assert 0.01 < model.decode(latents / latents.std()).std() < 1
