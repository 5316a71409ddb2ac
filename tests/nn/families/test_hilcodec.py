"""HILCodec's networks and their artifact: any pieces, how far they see, frames of one length, counts of the paper's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import soundstream
from hilcodec_weights import CONFIG, HOP, model
from signals import noise
from soundstream.errors import ConfigError
from soundstream.export.artifact import export
from soundstream.export.parity import check_parity
from soundstream.nn.families import family, hilcodec
from soundstream.nn.layers.conv import CausalConv, CausalUpsample
from soundstream.nn.layers.variance import LearnedScale
from soundstream.runtime.stream import DecoderStream, LatentStream

SPEECH = family("hilcodec").VARIANTS["speech"]
SPARE = replace(SPEECH, latent_dim=4, encoder_channels=1, decoder_channels=1)
"""As far-sighted as the published ones."""


@pytest.fixture(scope="module")
def ours():
    return model()


@pytest.fixture(scope="module")
def codec(ours, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hilcodec") / "artifact"
    export(ours, folder)
    return soundstream.load(folder, postfilter=False)


@pytest.fixture(scope="module")
def spare():
    torch.manual_seed(0)
    made = hilcodec.build(SPARE).double().eval()
    for layer in made.modules():
        if isinstance(layer, LearnedScale):
            torch.nn.init.ones_(layer.weight)
    return made


def counted(network, config):
    """Parameters as the authors count them: scales of weight normalization, and no bias where they have none."""
    total, biases = sum(parameter.numel() for parameter in network.parameters()), dict(hilcodec.places(config))
    for name, layer in network.named_modules():
        if isinstance(layer, CausalUpsample):
            total += layer.conv.in_channels - len(layer.conv.bias)
        elif isinstance(layer, CausalConv) and name in biases and layer.weight.requires_grad:
            total += len(layer.weight) - len(layer.bias) * bool(hilcodec.WITHOUT_BIAS.fullmatch(name))
    return total


def test_the_published_models_have_their_parameters():
    with torch.device("meta"):
        sides = (torch.nn.ModuleDict({side: getattr(hilcodec, side)(SPEECH)}) for side in ("encoder", "decoder"))
        assert [counted(network, SPEECH) for network in sides] == [2_989_773, 6_587_246]
    spec = SPEECH.spec()
    assert (spec.hop_length, spec.frame_rate, spec.bitrate(2), spec.latency_ms) == (
        320,
        75,
        1500,
        pytest.approx(40 / 3),
    )
    assert [max(config.spec().counts) for config in hilcodec.VARIANTS.values()] == [8, 12]


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (HOP - 1, 1), (HOP, 1), (HOP + 1, 2), (75 * HOP, 75)])
def test_frames_cover_the_sound(codec, samples, frames):
    assert codec.to_codes(noise(samples, 1), CONFIG.sample_rate).shape[1] == frames


@pytest.mark.parametrize("samples", [HOP - 1, HOP, 60 * HOP + 17])
@pytest.mark.parametrize("size", [77, HOP, 9 * HOP])
@torch.no_grad()
def test_sound_in_any_pieces_gives_the_latents_of_the_whole(ours, codec, samples, size):
    pcm, stream = noise(samples), LatentStream(codec.model, 2)
    expected = ours.encode(torch.from_numpy(np.pad(pcm, ((0, 0), (0, -samples % HOP))))[:, None])
    parts = [stream.push(pcm[:, start : start + size]) for start in range(0, samples, size)]
    np.testing.assert_allclose(np.concatenate([*parts, stream.flush()], axis=2), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("size", [1, 3, 40])
@torch.no_grad()
def test_latents_in_any_pieces_give_the_sound_of_the_whole(ours, codec, size):
    latents = np.random.default_rng(0).normal(size=(2, CONFIG.latent_dim, 40)).astype(np.float32)
    stream = DecoderStream(codec.model, 2)
    found = np.concatenate([stream.push_latents(latents[..., i : i + size]) for i in range(0, 40, size)], axis=1)
    np.testing.assert_allclose(found, ours.decode(torch.from_numpy(latents))[:, 0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_sample_reaches_ten_frames_and_none_before_it(spare):
    torch.manual_seed(0)
    pcm, reached = 0.1 * torch.randn(1, 1, 320 * 20).double(), set()
    before = spare.encode(pcm)
    for sample in range(320 * 4, 320 * 5, 29):
        changed = pcm.clone()
        changed[..., sample] += 1
        reached |= set((spare.encode(changed) - before).abs().sum((0, 1)).nonzero().flatten().tolist())
    assert (min(reached), max(reached)) == (4, 4 + 9)


def test_a_frame_reaches_3198_samples_and_none_before_it(spare):
    torch.manual_seed(0)
    latents = torch.randn(1, 4, 20).double().requires_grad_()
    audio = spare.decode(latents)[0, 0]
    for place, seen in ((-1, False), (0, True), (3197, True), (3198, False)):
        (slope,) = torch.autograd.grad(audio[4 * 320 + place], latents, retain_graph=True)
        assert slope[0, :, 4].any() == seen


@torch.no_grad()
def test_frames_have_one_length_silence_too(ours):
    for pcm in (torch.from_numpy(noise(20 * HOP)), torch.zeros(2, 20 * HOP)):
        length = ours.encode(pcm[:, None]).norm(dim=1)
        torch.testing.assert_close(length, torch.full_like(length, CONFIG.latent_dim**0.5))


def test_its_artifact_keeps_the_weights_as_they_are(ours, codec):
    parity = check_parity(ours, codec.folder, noise(30 * HOP, 1)[0])
    assert parity.codes_equal > 0.999 and parity.stored_snr_db > 90
    assert codec.spec.is_causal and not codec.spec.start_frames


def test_every_parameter_learns():
    torch.manual_seed(0)
    made = hilcodec.build(CONFIG)
    for layer in made.modules():
        if isinstance(layer, LearnedScale):
            torch.nn.init.ones_(layer.weight)
    found = made(0.1 * torch.randn(2, 1, 20 * HOP), torch.tensor([4, 2]), torch.rand(2, CONFIG.condition_dim, 20))
    (found.audio.square().mean() + found.commitment).backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in made.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strides": (2, 4, 5)}, "expected 4 of them"),
        ({"window": 63}, "expected an even number"),
        ({"film": "decoder"}, "expected encoder"),
    ],
)
def test_what_the_networks_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **settings)
