"""Segments of EnCodec's 48 kHz model beside EncodecModel of `transformers`, which has the same weights."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch

from benchmarks import encodec_parity
from soundstream.export.artifact import decoder_graph, encoder_graph, exportable
from soundstream.nn.families import encodec

pytest.importorskip("transformers")

CONFIG = dataclasses.replace(encodec.VARIANTS["48khz"], channels=4, latent_dim=16)
SEGMENT = CONFIG.segment_samples - CONFIG.overlap_samples
"""Samples that are one segment and not two."""


@pytest.fixture(scope="module")
def original():
    return encodec_parity.original(**encodec_parity.STEREO, num_filters=4, hidden_size=16)


@pytest.fixture(scope="module")
def model(original):
    return encodec.convert(original.state_dict(), CONFIG)


@pytest.fixture(scope="module")
def graphs(model):
    model = exportable(model)
    return [onnxruntime.InferenceSession(make(model).SerializeToString()) for make in (encoder_graph, decoder_graph)]


def sounds():
    rng = np.random.default_rng(0)
    loud = rng.uniform(-1, 1, (1, 2, 12_000))
    return {
        "a segment": 0.2 * rng.normal(size=(1, 2, SEGMENT)),
        "odd": 0.2 * rng.normal(size=(1, 2, 10_007)),
        "one sample": np.full((1, 2, 1), 0.5),
        "less than a hop": 0.2 * rng.normal(size=(1, 2, 200)),
        "few frames": 0.2 * rng.normal(size=(1, 2, 1601)),
        "one channel": np.stack([0.2 * rng.normal(size=(1, 9_000)), np.zeros((1, 9_000))], axis=1),
        "silence": np.zeros((1, 2, 9_000)),
        "full scale": np.sign(loud),
        "loud": loud,
    }


def run(session, names, frames, **given):
    """A graph on a segment: what it remembers is zero, and nothing is denoised."""
    for value in session.get_inputs():
        if value.name not in given:
            length = frames if value.name == "condition" else value.shape[3]
            given[value.name] = np.zeros((1, value.shape[1], 1, length), np.float32)
    if "condition" in given:
        given["condition"][:, 0] = 1
    return session.run(names, given)


@pytest.mark.parametrize("kilobits", [3.0, 6.0, 12.0, 24.0])
@pytest.mark.parametrize("name", sounds())
@torch.no_grad()
def test_codes_gain_and_sound_of_a_segment_are_those_of_the_original(original, model, graphs, name, kilobits):
    pcm, (encoder, decoder) = sounds()[name].astype(np.float32), graphs
    theirs, count = original.encode(torch.from_numpy(pcm), bandwidth=kilobits), int(kilobits / 1.5)
    codes, frames = theirs.audio_codes[0], -(-pcm.shape[2] // CONFIG.hop_length)
    latents, gain = run(encoder, ["latents", "side"], frames, pcm=pcm[:, :, None])
    ours = model.quantizer.encode(torch.from_numpy(latents[:, :, 0]), count)
    assert ours.shape == codes.shape == (1, count, frames)
    assert (ours == codes).float().mean() >= 0.999
    np.testing.assert_allclose(gain.ravel(), theirs.audio_scales[0].ravel(), rtol=1e-6)
    heard = original.decode(theirs.audio_codes, theirs.audio_scales).audio_values.numpy()
    given = model.quantizer.decode(codes)[:, :, None].numpy()
    (found,) = run(decoder, ["pcm"], frames, latents=given, side=gain)
    np.testing.assert_allclose(found[:, :, 0], heard, rtol=0, atol=1e-4)
    assert np.abs(heard).max() > (1e-2 if name != "silence" else 0)


@torch.no_grad()
def test_pytorch_computes_the_same(original, model):
    pcm = torch.from_numpy(sounds()["odd"]).float()
    theirs = original.encode(pcm, bandwidth=24.0)
    assert (model.quantizer.encode(model.encode(pcm), 16) == theirs.audio_codes[0]).float().mean() >= 0.999
    heard = original.decode(theirs.audio_codes, theirs.audio_scales).audio_values
    found = model.decode(model.quantizer.decode(theirs.audio_codes[0]), None, model.side(pcm))
    torch.testing.assert_close(found, heard, rtol=0, atol=1e-5)
