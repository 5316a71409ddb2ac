"""EnCodec's networks and their artifact: counts of the paper's model, any chunks, and ends that are reflected."""

import numpy as np
import pytest
import torch

import soundstream
from encodec_weights import CONFIG, FRAMES_AT_ONCE, HOP, filled
from signals import joined, noise
from soundstream.export.artifact import export
from soundstream.export.parity import check_parity
from soundstream.nn.families import encodec, family
from soundstream.runtime.stream import DecoderStream, LatentStream

RATE = CONFIG.sample_rate


@pytest.fixture(scope="module")
def model():
    return filled(encodec.build(CONFIG))


@pytest.fixture(scope="module")
def codec(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encodec") / "artifact"
    export(model, folder)
    return soundstream.load(folder, postfilter=False)


def test_the_published_model_has_its_parameters():
    config = family("encodec").VARIANTS["24khz"]
    with torch.device("meta"):
        networks = encodec.encoder(config), encodec.decoder(config)
    counted = sum(parameter.numel() for network in networks for parameter in network.parameters())
    phases = sum((stride - 1) * width for stride, width in zip((8, 5, 4, 2), (256, 128, 64, 32), strict=True))
    assert counted == 14_851_810 - normalization(config) + phases  # a bias for each phase of an upsampling layer
    assert (config.hop_length, config.spec().frame_rate, config.spec().bitrate(2)) == (320, 75, 1500)


def normalization(config):
    """Sizes that weight normalization keeps beside directions: one an output, or an input of transposed layers."""
    widths = [config.channels * 2**i for i in range(5)]
    residuals = sum(width // 2 + 2 * width for width in widths[:4])
    encoder = sum(widths) + residuals + config.latent_dim
    return encoder + widths[4] + sum(widths[1:]) + residuals + 1


@pytest.mark.parametrize("samples", [1, 100, HOP - 1, HOP, HOP + 1, 7 * HOP - 1, 7 * HOP + 1, 40 * HOP + 77])
@pytest.mark.parametrize("size", [77, HOP, 9 * HOP, 50 * HOP])
@torch.no_grad()
def test_sound_in_any_pieces_gives_the_latents_of_the_whole(model, codec, samples, size):
    pcm, stream = noise(samples), LatentStream(codec.model, 2)
    expected = model.encode(torch.from_numpy(pcm)[:, None])
    assert expected.shape[-1] == -(-samples // HOP)
    np.testing.assert_allclose(joined(stream.push, stream.flush, pcm, size), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 6, 7, 8, 40])
@pytest.mark.parametrize("size", [1, 3, 40])
@torch.no_grad()
def test_latents_in_any_pieces_give_the_sound_of_the_whole(model, codec, frames, size):
    latents = np.random.default_rng(frames).normal(size=(2, CONFIG.latent_dim, frames)).astype(np.float32)
    stream = DecoderStream(codec.model, 2, wait=True)
    found = joined(stream.push_latents, stream.flush, latents, size)
    np.testing.assert_allclose(found, model.decode(torch.from_numpy(latents))[:, 0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_torch_goes_on_after_the_first_frames(model):
    pcm = torch.from_numpy(noise(40 * HOP + 9, 1))[:, None, None]
    whole, state, parts, start = model.encoder(pcm), model.encoder.init_state(1), [], 0
    for frames in (FRAMES_AT_ONCE, 1, 2, 20, 11):
        y, state = model.encoder.step(pcm[..., start : start + frames * HOP], state)
        parts, start = [*parts, y], start + frames * HOP
    torch.testing.assert_close(torch.cat(parts, dim=-1), whole, rtol=0, atol=1e-5)


def test_a_stream_holds_back_no_more_than_the_first_frames(codec):
    stream, pcm = LatentStream(codec.model, 1), noise(12 * HOP, 1)
    given = [stream.push(pcm[:, start : start + HOP]).shape[2] for start in range(0, pcm.shape[1], HOP)]
    assert given == [0] * (FRAMES_AT_ONCE - 1) + [FRAMES_AT_ONCE] + [1] * (12 - FRAMES_AT_ONCE)


def test_the_first_frame_depends_on_so_many_and_no_later_one(model):
    pcm = torch.from_numpy(noise(12 * HOP, 1))[:, None].requires_grad_()
    reach = []
    for frame in (0, 3, 8):
        (slope,) = torch.autograd.grad(model.encode(pcm)[0, :, frame].sum(), pcm)
        reach.append(int(slope[0, 0].nonzero().max()) // HOP)
    assert reach == [FRAMES_AT_ONCE - 1, 3, 8]


def test_live_streams_wait_for_nothing_and_soon_agree(codec):
    pcm = noise(120 * HOP, 1)
    stream = LatentStream(codec.model, 1, wait=False)
    given = [stream.push(pcm[:, start : start + HOP]) for start in range(0, pcm.shape[1], HOP)]
    assert {latents.shape[2] for latents in given} == {1}
    difference = np.abs(np.concatenate(given, axis=2) - LatentStream(codec.model, 1).push(pcm))
    assert difference[..., 100:].max() < 1e-4 < difference[..., :3].max()


def test_its_artifact_keeps_the_weights_as_they_are(model, codec):
    np.testing.assert_array_equal(codec.model.quantizer.codebooks, model.quantizer.codebooks)
    parity = check_parity(model, codec.folder, noise(30 * HOP, 1)[0])
    assert parity.codes_equal > 0.999 and parity.stored_snr_db > 90


def test_its_artifact_says_what_it_is(codec):
    spec = codec.spec
    assert (spec.start_frames, spec.is_causal, spec.latency_ms) == (FRAMES_AT_ONCE, True, 1000 / spec.frame_rate)
    assert encodec.FADED_FRAMES < spec.memory_frames < encodec.FADED_FRAMES + 20
    lstm = 2 * 2 * 4 * CONFIG.widest**2
    assert codec.model.decoder.macs_per_frame > lstm and codec.model.encoder.macs_per_frame > lstm


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = encodec.build(CONFIG)
    found = model(0.1 * torch.randn(2, 1, 20 * HOP), torch.tensor([8, 2]), torch.rand(2, CONFIG.condition_dim, 20))
    (found.audio.square().mean() + found.commitment).backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in model.parameters())
