"""EnCodec's model of segments: counts of the published one, its graphs, its gain, and that all of it learns."""

import numpy as np
import onnxruntime
import pytest
import torch

from encodec_weights import HOP, STEREO, filled
from soundstream.export.artifact import decoder_graph, encoder_graph, exportable
from soundstream.nn.families import encodec

SEGMENT = STEREO.segment_samples


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return filled(encodec.build(STEREO))


@pytest.fixture(scope="module")
def graphs(model):
    model = exportable(model)
    return [onnxruntime.InferenceSession(make(model).SerializeToString()) for make in (encoder_graph, decoder_graph)]


def noise(samples, batch=2):
    return torch.from_numpy(np.random.default_rng(samples).normal(size=(batch, 2, samples)).astype(np.float32) * 0.2)


def run(session, names, frames, **given):
    """A graph on segments by themselves: what it remembers is zero, and nothing is denoised."""
    batch = len(next(iter(given.values())))
    for value in session.get_inputs():
        if value.name not in given:
            length = frames if value.name == "condition" else value.shape[3]
            given[value.name] = np.full((batch, value.shape[1], 1, length), 0, np.float32)
    if "condition" in given:
        given["condition"][:, 0] = 1
    return session.run(names, given)


def test_the_published_model_has_its_parameters():
    config = encodec.VARIANTS["48khz"]
    with torch.device("meta"):
        networks = encodec.encoder(config), encodec.decoder(config)
    counted = sum(parameter.numel() for network in networks for parameter in network.parameters())
    phases = sum((stride - 1) * width for stride, width in zip((8, 5, 4, 2), (256, 128, 64, 32), strict=True))
    assert counted == 14_856_294 + phases  # a bias for each phase of an upsampling layer
    spec = config.spec()
    assert (spec.frame_rate, spec.channels, spec.side_numbers, spec.bitrate(4), spec.bitrate(16)) == (
        150,
        2,
        1,
        6000,
        24_000,
    )
    assert (spec.segment_samples, spec.overlap_samples, spec.start_frames, spec.is_causal) == (48_000, 480, 0, False)
    assert spec.latency_ms == 1000  # a segment is coded when all of it has come


@pytest.mark.parametrize("samples", [1, 2, 100, HOP - 1, HOP, HOP + 1, 480, 7 * HOP + 77, SEGMENT])
@torch.no_grad()
def test_its_graphs_compute_what_pytorch_does(model, graphs, samples):
    pcm, (encoder, decoder) = noise(samples), graphs
    expected, side = model.encode(pcm), model.side(pcm)
    frames = -(-samples // HOP)
    latents, gain = run(encoder, ["latents", "side"], frames, pcm=pcm[:, :, None].numpy())
    assert latents.shape == (2, STEREO.latent_dim, 1, frames) and gain.shape == (2, 1, 1, 1)
    np.testing.assert_allclose(latents[:, :, 0], expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(gain[..., 0, 0], side, rtol=1e-6)
    (heard,) = run(decoder, ["pcm"], frames, latents=latents, side=gain)
    assert heard.shape == (2, 2, 1, frames * HOP)
    np.testing.assert_allclose(heard[:, :, 0], model.decode(expected, None, side), rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_segment_is_as_loud_as_its_gain_says_and_its_codes_do_not_know(model):
    pcm = noise(3 * HOP)
    mono = pcm.mean(dim=1)
    torch.testing.assert_close(model.side(pcm), mono.square().mean(1, keepdim=True).sqrt() + 1e-8)
    torch.testing.assert_close(model.encode(pcm / 64), model.encode(pcm), rtol=0, atol=1e-4)
    latents, side = model.encode(pcm), model.side(pcm)
    torch.testing.assert_close(model.decode(latents, None, side / 64), model.decode(latents, None, side) / 64)


@torch.no_grad()
def test_silence_and_opposite_channels_have_latents(model):
    """Whose mean of the channels has no power."""
    pcm = noise(3 * HOP)
    for quiet in (torch.zeros_like(pcm), torch.stack([pcm[:, 0], -pcm[:, 0]], dim=1)):
        assert model.side(quiet).max() < 1e-7 and model.encode(quiet).isfinite().all()


@torch.no_grad()
def test_channels_and_all_of_a_segment_reach_each_frame(model):
    pcm = noise(20 * HOP, 1)
    latents = model.encode(pcm)
    for channel, sample in ((0, -1), (1, 0), (1, -1)):
        changed = pcm.clone()
        changed[:, channel, sample] += 0.5
        assert (model.encode(changed) - latents).abs().amax(1).min() > 1e-6


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = encodec.build(STEREO)
    found = model(noise(20 * HOP), torch.tensor([8, 2]), torch.rand(2, STEREO.condition_dim, 20))
    (found.audio.square().mean() + found.audio.mean() + found.commitment).backward()
    assert found.audio.shape == (2, 2, 20 * HOP)
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in model.parameters())
