"""VRVQ's networks and their artifact: importance of frames, counts by quality and by size, and files that hold them."""

import io
import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

import soundstream
from dac_weights import published as published_dac
from soundstream.bitstream import Reader
from soundstream.codec.code_files import codes_from_file, codes_to_file, load_codes
from soundstream.codec.editing import cat, cut
from soundstream.errors import ArtifactError, ConfigError
from soundstream.export.artifact import export
from soundstream.export.parity import check_parity
from soundstream.nn.families import vrvq
from soundstream.nn.families.vrvq import VARIANTS
from soundstream.nn.layers.padded import PaddedConv, PaddedUpsample
from soundstream.runtime.importance import counts_at
from soundstream.runtime.stream import LatentStream
from vrvq_weights import CONFIG, HOP, published

RATE = CONFIG.sample_rate
FRAMES = 200


@pytest.fixture(scope="module")
def model():
    return vrvq.convert(published(), CONFIG)


@pytest.fixture(scope="module")
def codec(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vrvq") / "artifact"
    export(model, folder)
    return soundstream.load(folder, postfilter=False)


def sound(samples=FRAMES * HOP, channels=1):
    """Noise whose level rises and falls."""
    rng, place = np.random.default_rng(samples), np.arange(samples) / (20 * HOP)
    level = 0.3 * np.sin(np.pi * place) ** 2
    return (level * rng.normal(size=(channels, samples))).clip(-1, 1).astype(np.float32)


def codes_of(codec, data):
    reader = Reader(io.BytesIO(data))
    return np.concatenate(list(codec.coding.unpack(reader, reader.header)), axis=2)


def counts_of(codec, data):
    return (codes_of(codec, data) >= 0).sum(axis=1)


def importance(model, pcm):
    with torch.no_grad():
        return model.importance(torch.from_numpy(pcm)[:, None])[:, 0].numpy()


def test_the_published_run_file_has_its_parameters_rates_and_context():
    config = VARIANTS["44khz"]
    with torch.device("meta"):
        model = vrvq.build(config)
    networks, width, count = (model.encoder, model.decoder), config.codebook_dim, config.num_quantizers
    parameters = sum(parameter.numel() for network in networks for parameter in network.parameters())
    gains = sum(len(layer.weight) for network in networks for layer in network.modules() if type(layer) is PaddedConv)
    phases = [layer for layer in model.decoder.modules() if isinstance(layer, PaddedUpsample)]
    gains += sum(layer.conv.in_channels - len(layer.conv.bias) // layer.stride * (layer.stride - 1) for layer in phases)
    projections = count * (2 * width * config.latent_dim + 2 * (width + config.latent_dim) + 1024 * width)
    assert parameters + gains + projections == 81_559_668
    branch = model.encoder.importance
    own = sum(parameter.numel() for parameter in branch.parameters())
    assert own + sum(len(layer.weight) for layer in branch.modules() if type(layer) is PaddedConv) == 4_934_418
    spec = config.spec()
    assert (spec.bitrate(1), spec.bitrate(8), spec.context_frames) == (861, 6891, 13)


@pytest.mark.parametrize("side", ["importance", "latents"])
def test_importance_sees_further_than_latents_and_no_further_than_the_context(model, side):
    given = torch.from_numpy(sound(41 * HOP))[:, None].requires_grad_()
    found = getattr(model, "importance" if side == "importance" else "encode")(given)[0, :, 20]
    (slope,) = torch.autograd.grad(found.sum(), given)
    touched = slope.reshape(41, -1).abs().amax(1).nonzero().flatten()
    reach = CONFIG.context_frames if side == "importance" else 8
    assert (touched.min(), touched.max()) == (20 - reach, 20 + reach) and CONFIG.context_frames == 11


@pytest.mark.parametrize("frames", [1, 97, FRAMES])
@pytest.mark.parametrize("size", [777, 20 * HOP, 10**6])
@torch.no_grad()
def test_sound_in_any_pieces_gives_the_latents_and_the_importance_of_the_whole(model, codec, frames, size):
    pcm, stream = sound(frames * HOP - 3, 2), LatentStream(codec.model, 2)
    parts = [stream.push(pcm[:, start : start + size]) for start in range(0, pcm.shape[1], size)]
    found = np.concatenate([*parts, stream.flush()], axis=2)
    whole = functional.pad(torch.from_numpy(pcm)[:, None], (0, 3))
    np.testing.assert_allclose(found[:, :-1], model.encode(whole), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[:, -1:], model.importance(whole), rtol=0, atol=1e-5)


def test_the_artifact_computes_what_the_model_does(model, codec):
    parity = check_parity(model, codec.folder, sound(30 * HOP)[0])
    assert parity.codes_equal > 0.999 and parity.stored_snr_db > 90 and parity.latents_difference < 1e-4


def test_frames_differ_in_importance(model):
    found = importance(model, sound())
    assert found.std() > 0.05 and 0 < found.min() < found.max() < 1


# by quality


@pytest.mark.parametrize("quality", [0.125, 0.7, 1.0, 4.0])
def test_a_file_has_the_counts_of_the_model_and_the_codes_of_constant_rates(model, codec, quality):
    pcm = sound()
    data = codec.encode(pcm, RATE, quality=quality)
    codes, counts = codes_of(codec, data), counts_of(codec, data)
    expected = counts_at(importance(model, pcm), quality, codec.spec, 6)
    assert (counts == expected).mean() > 0.99 and abs(counts - expected).max() <= 1
    for count in np.unique(counts):
        constant = codec.to_codes(pcm, RATE, codec.spec.bitrate(count))
        np.testing.assert_array_equal(codes[0, :count, counts[0] == count], constant.T[counts[0] == count])


def test_a_file_takes_the_bits_of_its_codes_and_the_coded_counts(codec):
    data = codec.encode(sound(), RATE, quality=1.0)
    plain = 6 * counts_of(codec, data).sum() / 8  # codebooks of 64
    assert plain < len(data) < plain + 0.4 * FRAMES + 120  # three bits a frame at most


def test_more_quality_is_more_codebooks_in_no_frame_fewer(codec):
    found = [counts_of(codec, codec.encode(sound(), RATE, quality=quality)) for quality in (0.2, 0.5, 1.0, 2.0)]
    assert all((more >= less).all() and more.sum() > less.sum() for less, more in itertools.pairwise(found))


def test_a_file_decodes_to_the_sound_of_its_codes(model, codec):
    data = codec.encode(sound(), RATE, quality=1.0)
    codes = codes_of(codec, data)
    outputs = model.quantizer._outputs().detach().numpy()
    latents = sum(np.where(codes[0, q, :, None] >= 0, outputs[q][codes[0, q]], 0) for q in range(6))
    with torch.no_grad():
        heard = model.decode(torch.from_numpy(latents.T[None].astype(np.float32)))[0].numpy()
    np.testing.assert_allclose(codec.decode(data)[0], heard.clip(-1, 1), rtol=0, atol=0.05)  # softly limited above
    quiet = np.abs(heard) < 0.9
    np.testing.assert_allclose(codec.decode(data)[0][quiet], heard[quiet], rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [0, 1, HOP + 1, 5001])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_length_and_channels_come_back(codec, samples, channels):
    decoded, _ = codec.decode(codec.encode(sound(samples, channels), RATE, quality=1.0))
    assert decoded.shape == (channels, samples)


def test_a_highest_rate_holds(codec):
    data = codec.encode(sound(), RATE, quality=4.0, max_bitrate=codec.spec.bitrate(3))
    assert counts_of(codec, data).max() == 3


def test_codes_go_to_an_array_and_back_with_their_counts(codec, tmp_path):
    data = codec.encode(sound(), RATE, quality=1.0)
    (tmp_path / "a.nac").write_bytes(data)
    codes_to_file(tmp_path / "a.nac", tmp_path / "a.npy", model=codec.folder)
    np.testing.assert_array_equal(load_codes(tmp_path / "a.npy").codes, codes_of(codec, data))
    codes_from_file(tmp_path / "a.npy", tmp_path / "b.nac", model=codec.folder)
    np.testing.assert_array_equal(codes_of(codec, (tmp_path / "b.nac").read_bytes()), codes_of(codec, data))


def test_parts_keep_their_counts_and_join_to_the_file(codec):
    data, places = codec.encode(sound(), RATE, quality=1.0), (0, 0.7, 1.5, FRAMES * HOP / RATE)
    parts = []
    for start, end in itertools.pairwise(places):
        cut(codec, Reader(io.BytesIO(data)), out := io.BytesIO(), start, end)
        parts.append(Reader(io.BytesIO(out.getvalue())))
    cat(codec, parts, out := io.BytesIO())
    np.testing.assert_array_equal(codes_of(codec, out.getvalue()), codes_of(codec, data))


def test_a_constant_rate_has_no_counts(codec):
    data = codec.encode(sound(), RATE, codec.spec.bitrate(3))
    assert not Reader(io.BytesIO(data)).header.frame_counts
    assert (counts_of(codec, data) == 3).all()


# by size


@pytest.mark.parametrize("constant", [2, 4])
def test_a_variable_rate_fills_the_size_of_a_constant_one(codec, constant):
    pcm, bitrate = sound(), codec.spec.bitrate(constant)
    plain, varying = (codec.encode(pcm, RATE, bitrate, vbr=vbr) for vbr in (False, True))
    counts = counts_of(codec, varying)
    assert 0.97 * len(plain) < len(varying) < 1.01 * len(plain)
    assert len(np.unique(counts)) > 1


def test_the_size_is_met_by_a_quality(codec):
    varying = counts_of(codec, codec.encode(sound(), RATE, codec.spec.bitrate(3), vbr=True))
    stream = LatentStream(codec.model, 1)
    steps = 6 * np.concatenate([stream.push(sound()), stream.flush()], axis=2)[:, -1]
    least, most = ((varying - 1) / steps)[varying > 1], (varying / steps)[varying < 6]
    assert least.max() < most.min() * 1.0001


# what it refuses


def test_a_quality_out_of_range_is_refused(codec):
    with pytest.raises(ConfigError, match=r"quality is 7.0; expected 0.125 to 6"):
        codec.encode(sound(), RATE, quality=7.0)
    with pytest.raises(ConfigError, match="quality is an option of files"):
        codec.to_codes(sound(), RATE, quality=1.0)


def test_live_sessions_refuse_it(codec):
    with pytest.raises(ConfigError, match="take a causal one"):
        codec.open_encoder(RATE)


@pytest.mark.parametrize("name", [name for name in published() if "imp_subnet" in name][::3])
def test_every_tensor_is_needed(name):
    tensors = published()
    del tensors[name]
    with pytest.raises(ArtifactError, match="weights lack"):
        vrvq.convert(tensors, CONFIG)


def test_weights_of_dac_are_not_enough_and_its_names_are_the_same():
    with pytest.raises(ArtifactError, match=r"weights lack encoder\.importance"):
        vrvq.convert(published_dac(CONFIG), CONFIG)


def test_the_same_weights_make_the_same_model(codec, tmp_path):
    assert export(vrvq.convert(published(), CONFIG), tmp_path / "again") == codec.model_id.hex()
