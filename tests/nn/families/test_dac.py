"""DAC's networks and their artifact: sizes of the published models, chunks that give what the whole gives, and ends."""

import numpy as np
import pytest
import torch
from torch.nn import functional

import soundstream
from dac_weights import CONFIG, WIDE_BAND, published
from signals import joined, noise
from soundstream.errors import ConfigError
from soundstream.export.artifact import export
from soundstream.export.parity import check_parity
from soundstream.nn.families import dac, family
from soundstream.runtime.stream import DecoderStream, LatentStream

KINDS = {"24khz": CONFIG, "44khz": WIDE_BAND}
PUBLISHED = {
    "16khz": (74_175_906, 6000, 8),
    "24khz": (74_708_706, 24_000, 8),
    "44khz": (76_651_890, 7752, 0),
    "44khz_16kbps": (64_213_250, 15_504, 0),
}
"""Parameters, highest rate, and samples that decoded frames lack."""
FRAMES = 200


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return dac.convert(published(KINDS[request.param]), KINDS[request.param])


@pytest.fixture(scope="module")
def codec(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dac") / "artifact"
    export(model, folder)
    return soundstream.load(folder, postfilter=False)


@pytest.mark.parametrize(("variant", "facts"), PUBLISHED.items(), ids=PUBLISHED)
def test_the_published_models_have_their_sizes(variant, facts):
    config = family("dac").VARIANTS[variant]
    with torch.device("meta"):
        networks = dac.encoder(config), dac.decoder(config)
    counted = sum(parameter.numel() for network in networks for parameter in network.parameters())
    width, count = config.codebook_dim, config.num_quantizers
    counted += count * (2 * width * config.latent_dim + width + config.latent_dim + 1024 * width)
    normalization = count * (width + config.latent_dim)  # sizes that are kept beside directions
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, dac.PaddedConv):
                normalization += len(layer.weight)
            elif isinstance(layer, dac.PaddedUpsample):  # a bias for each phase, and a size an input
                normalization += layer.conv.in_channels - len(layer.conv.bias) * (layer.stride - 1) // layer.stride
    assert (counted + normalization, config.spec().bitrate(count), config.missing_samples) == facts
    assert config.context_frames == 10


@pytest.mark.parametrize("frames", [1, 10, 86, 97, FRAMES])
@pytest.mark.parametrize("size", [77, 20 * CONFIG.hop_length, 10**6])
@torch.no_grad()
def test_sound_in_any_pieces_gives_the_latents_of_the_whole(model, codec, frames, size):
    pcm, stream = noise(frames * codec.spec.hop_length - 3), LatentStream(codec.model, 2)
    whole = functional.pad(torch.from_numpy(pcm)[:, None], (0, 3))
    np.testing.assert_allclose(joined(stream.push, stream.flush, pcm, size), model.encode(whole), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 10, 86, 97, FRAMES])
@pytest.mark.parametrize("size", [1, 31, FRAMES])
@torch.no_grad()
def test_latents_in_any_pieces_give_the_sound_of_the_whole(model, codec, frames, size):
    latents = np.random.default_rng(frames).normal(size=(2, CONFIG.latent_dim, frames)).astype(np.float32)
    stream = DecoderStream(codec.model, 2)
    found = joined(stream.push_latents, stream.flush, latents, size)
    assert found.shape == (2, frames * codec.spec.hop_length)
    np.testing.assert_allclose(found, model.decode(torch.from_numpy(latents))[:, 0], rtol=0, atol=1e-5)
    missing = model.config.missing_samples
    assert not missing or (not found[:, -missing:].any() and found[:, -missing - 1].all())


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_frames_see_no_further_than_the_context(model, side):
    """And as far, in decoding."""
    hop, middle, context = model.config.hop_length, 20, model.config.context_frames
    if side == "encoder":
        given = torch.from_numpy(noise(41 * hop, 1))[:, None].requires_grad_()
        found = model.encode(given)[0, :, middle]
    else:
        given = torch.randn(1, model.config.latent_dim, 41).requires_grad_()
        found = model.decode(given)[0, 0, middle * hop : (middle + 1) * hop]
    (slope,) = torch.autograd.grad(found.sum(), given)
    touched = slope.abs().amax(1)[0].reshape(41, -1).amax(1).nonzero().flatten()
    reach = context if side == "decoder" else 8
    assert (touched.min(), touched.max()) == (middle - reach, middle + reach)


def test_its_artifact_keeps_the_weights_as_they_are(model, codec):
    factors, quantizer = codec.model.quantizer._factors, model.quantizer
    for name in ("project_in", "bias_in", "project_out", "bias_out"):
        np.testing.assert_array_equal(getattr(factors, name), getattr(quantizer, name).detach())
    parity = check_parity(model, codec.folder, noise(30 * model.config.hop_length, 1)[0])
    assert parity.codes_equal > 0.999 and parity.stored_snr_db > 90


def test_its_artifact_says_what_it_is(codec):
    spec = codec.spec
    assert (spec.context_frames, spec.is_causal, spec.channels) == (10, False, 1)
    assert codec.model.decoder.macs_per_frame > 0 and codec.model.encoder.macs_per_frame > 0


def test_live_sessions_refuse_it_by_name(codec):
    for opened in (codec.open_encoder, codec.open_decoder):
        with pytest.raises(ConfigError, match="take a causal one"):
            opened(codec.spec.sample_rate)


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = dac.build(CONFIG)
    found = model(0.1 * torch.randn(2, 1, 20 * CONFIG.hop_length), torch.tensor([6, 2]))
    (found.audio.square().mean() + found.commitment).backward()
    learning = {name: parameter for name, parameter in model.named_parameters() if not name.startswith("film")}
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in learning.values())


def test_a_fresh_model_keeps_the_size_of_its_signals():
    torch.manual_seed(0)
    model = dac.build(CONFIG)
    latents = model.encode(0.2 * torch.randn(1, 1, 40 * CONFIG.hop_length))
    assert 0.1 < latents.std() < 10
    assert 0.01 < model.decode(latents / latents.std()).std() < 1
