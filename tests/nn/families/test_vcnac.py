"""VCNAC's networks and their artifact: layouts in one model, any pieces, what exchanged and fewer channels give."""

import dataclasses
import io
import itertools

import numpy as np
import pytest
import torch

import soundstream
import tiny
from signals import joined, noise
from soundstream.bitstream import Reader
from soundstream.errors import ConfigError, InvalidField
from soundstream.export.artifact import export, exportable
from soundstream.export.parity import check_parity
from soundstream.nn.families import vcnac
from soundstream.runtime.stream import DecoderStream, LatentStream

CONFIG = vcnac.Config(
    sample_rate=8_000,
    encoder_channels=4,
    decoder_channels=4,
    strides=(2, 4, 5),
    dilations=(1, 3),
    latent_dim=8,
    num_quantizers=4,
    codebook_size=16,
)
RATE, HOP = CONFIG.sample_rate, CONFIG.hop_length
LAYOUTS = {len(layout): layout for layout in CONFIG.layouts}
sized = pytest.mark.parametrize("size", LAYOUTS)


@pytest.fixture(scope="module")
def model():
    return exportable(tiny.model(config=CONFIG))


@pytest.fixture(scope="module")
def codec(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vcnac") / "artifact"
    export(model, folder, int8_products=False)
    return soundstream.load(folder, postfilter=False)


def placed(pcm):
    """A sound where the networks have its channels."""
    rows = np.zeros((CONFIG.audio_channels, pcm.shape[1]), np.float32)
    rows[list(LAYOUTS[len(pcm)])] = pcm
    return rows


def told(size, frames):
    """What FiLM is told of a layout."""
    return torch.eye(3)[[*LAYOUTS].index(size)][None, :, None].repeat(1, 1, frames)


@sized
@torch.no_grad()
def test_its_graphs_compute_what_pytorch_does(model, codec, size):
    pcm, options = noise(30 * HOP, size), {"bitrate": codec.spec.bitrate(4), "effort": 1}
    latents = model.encode(torch.from_numpy(placed(pcm))[None])
    np.testing.assert_allclose(LatentStream(codec.model, size).push(pcm), latents, rtol=0, atol=1e-4)
    codes = codec.to_codes(pcm, RATE, **options)
    assert (codes == model.quantizer.encode(latents, 4)[0].numpy()).mean() > 0.99
    sound = model.decode(model.quantizer.decode(torch.from_numpy(codes)[None]), told(size, 30))
    decoded, _ = codec.decode(codec.encode(pcm, RATE, **options))
    np.testing.assert_allclose(decoded, sound[0, list(LAYOUTS[size])], rtol=0, atol=1e-4)


def test_its_artifact_is_as_near_as_others(model, tmp_path):
    export(model, tmp_path / "model")
    assert check_parity(model, tmp_path / "model", noise(60 * HOP, 6)).codes_equal > 0.98


@pytest.mark.parametrize(("channels", "joint"), [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1), (6, 6), (7, 1), (8, 2)])
def test_a_file_has_the_layout_of_its_channels(codec, channels, joint):
    pcm = noise(1_001, channels)
    data = codec.encode(pcm, RATE)
    header = Reader(io.BytesIO(data)).header
    assert (header.channels, header.joint_channels, header.streams) == (channels, joint, channels // joint)
    assert codec.decode(data)[0].shape == pcm.shape
    with pytest.raises(InvalidField, match="joint_channels is 3"):
        codec.check_model(dataclasses.replace(header, joint_channels=3))


@sized
@pytest.mark.parametrize("pieces", [77, HOP, 9 * HOP])
def test_sound_and_codes_in_any_pieces_give_those_of_the_whole(codec, size, pieces):
    pcm = noise(20 * HOP + 17, size)
    encoder = LatentStream(codec.model, size)
    latents = joined(encoder.push, encoder.flush, pcm, pieces)
    whole = LatentStream(codec.model, size)
    np.testing.assert_allclose(latents, joined(whole.push, whole.flush, pcm, 10**6), rtol=0, atol=1e-5)
    decoder = DecoderStream(codec.model, size)
    found = joined(decoder.push_latents, decoder.flush, latents, 1 + pieces // HOP)
    np.testing.assert_allclose(found, DecoderStream(codec.model, size).push_latents(latents), rtol=0, atol=1e-5)


@sized
def test_it_streams_live(codec, size):
    pcm, bitrate = noise(20 * HOP, size), codec.spec.bitrate(4)
    encoder, decoder = codec.open_encoder(RATE, size, bitrate), codec.open_decoder(RATE, size)
    packets = [encoder.push(pcm[:, start : start + HOP]) for start in range(0, pcm.shape[1], HOP)]
    assert all(len(packet) == 1 for packet in packets)
    whole, _ = codec.decode(codec.encode(pcm, RATE, bitrate, effort=1))
    live = np.concatenate([decoder.push(packet) for (packet,) in packets], axis=1)
    np.testing.assert_allclose(live, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2])
def test_fewer_channels_are_surround_sound_whose_others_are_silent(codec, size):
    pcm = noise(9 * HOP, size)
    codes = codec.to_codes(pcm, RATE)
    np.testing.assert_array_equal(codes, codec.to_codes(placed(pcm), RATE))
    np.testing.assert_array_equal(codec.from_codes(codes, channels=size), codec.decode(codec.encode(pcm, RATE))[0])


def test_a_mono_file_is_what_its_channel_is_among_others_coded_apart(codec):
    pcm = noise(9 * HOP, 3)
    each = [codec.to_codes(pcm[[channel]], RATE) for channel in range(3)]
    np.testing.assert_array_equal(codec.to_codes(pcm, RATE), each)
    np.testing.assert_array_equal(codec.to_codes(pcm[::-1], RATE), each[::-1])


def test_pairs_of_channels_that_are_exchanged_come_back_exchanged(codec):
    pcm = noise(9 * HOP, 4)
    decoded, exchanged = (codec.decode(codec.encode(pcm[order], RATE))[0] for order in ([0, 1, 2, 3], [2, 3, 0, 1]))
    np.testing.assert_allclose(exchanged, decoded[[2, 3, 0, 1]], rtol=0, atol=1e-6)


def test_every_channel_of_a_layout_has_its_own_place(codec):
    pcm = noise(9 * HOP, 6)
    codes = [codec.to_codes(np.roll(pcm, shift, axis=0), RATE) for shift in range(6)]
    assert all((one != other).any() for one, other in itertools.combinations(codes, 2))
    alone = [codec.to_codes(np.eye(6, dtype=np.float32)[:, [i]] * pcm[0], RATE) for i in range(6)]
    assert all((one != other).any() for one, other in itertools.combinations(alone, 2))


def test_codes_may_be_decoded_with_fewer_channels_and_no_others(codec):
    codes = codec.to_codes(noise(9 * HOP, 6), RATE)
    sounds = [codec.from_codes(codes, channels=size) for size in LAYOUTS]
    assert [len(sound) for sound in sounds] == [6, 2, 1]
    assert np.abs(sounds[0][:2] - sounds[1]).max() > 1e-3 and np.abs(sounds[0][2] - sounds[2][0]).max() > 1e-3
    with pytest.raises(ConfigError, match="codes are of 1 streams; this session has 3 channels"):
        codec.from_codes(codes, channels=3)


def test_models_may_have_fewer_layouts():
    stereo = dataclasses.replace(CONFIG, sizes=(2, 1), condition_dim=2)
    assert (stereo.audio_channels, stereo.layouts, stereo.spec().joint_channels(6)) == (2, ((0, 1), (0,)), 2)
    alone = dataclasses.replace(CONFIG, sizes=(2,), condition_dim=1).spec()
    assert (alone.channels, alone.layouts, alone.streams(3)) == (2, (), 2)
    for change in ({"sizes": (2, 1)}, {"sizes": (1, 2, 6)}, {"sizes": (6, 2), "condition_dim": 2}, {"film": "encoder"}):
        with pytest.raises(ConfigError, match=next(iter(change))):
            dataclasses.replace(CONFIG, **change)


def test_every_parameter_learns():
    torch.manual_seed(0)
    made = vcnac.build(CONFIG)
    condition = torch.cat([told(size, 20) for size in LAYOUTS])
    found = made(0.1 * torch.randn(3, 6, 20 * HOP), torch.tensor([4, 2, 3]), condition)
    (found.audio.square().mean() + found.commitment).backward()
    assert found.audio.shape == (3, 6, 20 * HOP)
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in made.parameters())
