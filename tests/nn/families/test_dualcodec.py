"""DualCodec's networks and their artifact: two halves of the latents, features from outside, decoding without them."""

import numpy as np
import pytest
import torch

import soundstream
from dualcodec_weights import CONFIG, HOP, features, published
from signals import noise
from soundstream import audio
from soundstream.codec.code_files import codes_from_file
from soundstream.errors import ArtifactError, ConfigError
from soundstream.export.artifact import export
from soundstream.nn.families import dualcodec
from soundstream.nn.families.dualcodec import VARIANTS
from soundstream.nn.layers.padded import PaddedConv, PaddedUpsample
from soundstream.runtime.stream import DecoderStream

ENDS = ("first", "last")
RATE = CONFIG.sample_rate
FRAMES = 90


@pytest.fixture(scope="module")
def model():
    return dualcodec.convert(published(), CONFIG)


@pytest.fixture(scope="module")
def codec(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dualcodec") / "artifact"
    export(model, folder)
    return soundstream.load(folder, postfilter=False)


@pytest.fixture(scope="module")
def codes(codec):
    return codec.to_codes(noise(FRAMES * HOP, 1), RATE, codec.spec.bitrate(4), features(FRAMES), effort=1)


def counted(model):
    """Parameters as the original has them: a gain of weight normalization a channel, one bias for all phases."""
    config, networks = model.config, (model.encoder, model.decoder, model.features)
    ours = sum({p: p.numel() for network in networks for p in network.parameters()}.values())
    upsampling = [layer for layer in model.modules() if isinstance(layer, PaddedUpsample)]
    plain = [layer for layer in model.modules() if isinstance(layer, PaddedConv)]
    plain += [network.get_submodule(end) for network in (model.features, model.features.less.network) for end in ENDS]
    gains = sum(len(layer.weight) for layer in plain) + sum(layer.conv.in_channels for layer in upsampling)
    phases = sum(len(layer.conv.bias) * (layer.stride - 1) // layer.stride for layer in upsampling)
    books, width, dim = config.num_quantizers - 1, config.codebook_dim, config.acoustic.latent_dim
    projections = books * 2 * (width * dim + width + dim)
    return ours + gains - phases + projections + width * (config.codebook_size + books * config.acoustic_size)


@pytest.mark.parametrize(
    ("variant", "parameters", "rates", "context"),
    [("12hz_v1", 84_014_578, (175, 1225), 27 + 24), ("25hz_v1", 102_291_874, (350, 3100), 10 + 24)],
)
def test_the_published_models_have_their_parameters_rates_and_context(variant, parameters, rates, context):
    config = VARIANTS[variant]
    with torch.device("meta"):
        model = dualcodec.build(config)
    assert counted(model) == parameters
    spec = config.spec()
    assert (spec.bitrate(1), spec.bitrate(config.num_quantizers)) == rates
    assert spec.context_frames == context and spec.features.channels == 1024


def test_chunks_give_the_sound_of_the_whole(model, codec, codes):
    """Of more frames than a chunk has with its context."""
    with torch.no_grad():
        whole = model.decode(model.quantizer.decode(torch.from_numpy(codes)[None]))[0].numpy()
    codec.model.block_frames, before = 20, codec.model.block_frames
    try:
        stream = DecoderStream(codec.model, 1)
        parts = [stream.push(codes[None, :, i : i + 7]) for i in range(0, FRAMES, 7)]
    finally:
        codec.model.block_frames = before
    np.testing.assert_allclose(np.concatenate([*parts, stream.flush()], axis=1), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1000, 5 * HOP])
def test_sound_in_any_pieces_gives_the_codes_of_the_whole(codec, codes, size):
    pcm = noise(FRAMES * HOP, 1)
    encoder = codec.open_code_encoder(RATE, 1, codec.spec.bitrate(4), features(FRAMES), effort=1)
    parts = [encoder.push(pcm[:, start : start + size]) for start in range(0, pcm.shape[1], size)]
    np.testing.assert_array_equal(np.concatenate([*parts, encoder.flush()], axis=1), codes)


def test_the_first_codebook_codes_the_features_and_the_others_the_rest(codec, codes):
    bitrate = codec.spec.bitrate(4)
    assert codec.spec.group_starts == (0, 1)
    louder = codec.to_codes(0.5 * noise(FRAMES * HOP, 1), RATE, bitrate, features(FRAMES), effort=1)
    np.testing.assert_array_equal(louder[0], codes[0])
    other = codec.to_codes(noise(FRAMES * HOP, 1), RATE, bitrate, features(FRAMES, seed=1), effort=1)
    assert all((found[1:] != codes[1:]).any() for found in (louder, other)) and (other[0] != codes[0]).any()


def test_the_search_of_several_paths_keeps_the_semantic_codes(codec, codes):
    found = codec.to_codes(noise(FRAMES * HOP, 1), RATE, codec.spec.bitrate(4), features(FRAMES), effort=4)
    np.testing.assert_array_equal(found[0], codes[0])


def test_channels_have_features_each(codec, codes):
    pcm = np.concatenate([noise(FRAMES * HOP, 1), 0.5 * noise(FRAMES * HOP, 1)])
    of_both = np.stack([features(FRAMES), features(FRAMES, seed=1)])
    found = codec.to_codes(pcm, RATE, codec.spec.bitrate(4), of_both, effort=1)
    assert (found[0] == codes).mean() >= 0.999 and (found[1] != codes).any()


def test_codes_become_files_and_sound_without_features(codec, codes, tmp_path):
    np.save(tmp_path / "x.npy", codes)
    for name in ("x.nac", "x.wav"):
        codes_from_file(tmp_path / "x.npy", tmp_path / name, model=codec.folder)
    soundstream.decode_file(tmp_path / "x.nac", tmp_path / "y.wav", model=codec.folder)
    assert (tmp_path / "x.wav").read_bytes() == (tmp_path / "y.wav").read_bytes()
    plain_bits = FRAMES * (7 + 3 * 6)
    assert plain_bits / 8 < (tmp_path / "x.nac").stat().st_size < plain_bits / 8 + 200


def test_semantic_codes_alone_are_decoded(codec, codes):
    alone, both = codec.from_codes(codes[:1]), codec.from_codes(codes)
    assert alone.shape == both.shape and np.abs(alone).max() > 1e-2 and np.abs(alone - both).max() > 1e-2


def test_sound_without_features_is_refused_by_what_is_missing(model, codec, tmp_path):
    words = r"features of it, 24 numbers a frame: hidden state 17 of w2v-BERT 2.0 .* \(decoding needs none\)"
    with audio.open_writer(tmp_path / "x.wav", RATE, 1, num_samples=HOP) as writer:
        writer.write(noise(HOP, 1))
    for attempt in (
        lambda: codec.encode(noise(HOP, 1), RATE),
        lambda: codec.to_codes(noise(HOP, 1), RATE),
        lambda: codec.open_code_encoder(RATE),
        lambda: soundstream.encode_file(tmp_path / "x.wav", tmp_path / "x.nac", model=codec.folder),
        lambda: model(torch.zeros(1, 1, HOP), None),
    ):
        with pytest.raises(ConfigError, match=words):
            attempt()
    assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]


def test_live_sessions_refuse_it(codec):
    with pytest.raises(ConfigError, match="take a causal one"):
        codec.open_encoder(RATE)


@pytest.mark.parametrize("name", [*published()][::17])
def test_every_tensor_is_needed(name):
    tensors = published()
    del tensors[name]
    with pytest.raises(ArtifactError, match="weights lack"):
        dualcodec.convert(tensors, CONFIG)


def test_a_tensor_too_much_is_refused():
    with pytest.raises(ArtifactError, match=r"1 tensors have no place in this model: convnext_decoder\.9"):
        dualcodec.convert(published() | {"convnext_decoder.9.bias": torch.zeros(3)}, CONFIG)


def test_the_same_weights_make_the_same_model(codec, tmp_path):
    assert export(dualcodec.convert(published(), CONFIG), tmp_path / "again") == codec.model_id.hex()
