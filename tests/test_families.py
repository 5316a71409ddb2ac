"""What a codec promises whatever its networks: lengths, and decoded audio in step with the original."""

import numpy as np
import pytest
import torch

from soundstream import load
from soundstream.export.artifact import export
from soundstream.nn.families import build
from soundstream.nn.families.seanet import Config as SeanetConfig
from soundstream.nn.families.spectral import Config as SpectralConfig
from soundstream.runtime.stream import DecoderStream, LatentStream

RATE = 24_000
SMALL = {"latent_dim": 16, "num_quantizers": 4, "codebook_size": 64}
CONFIGS = (
    SeanetConfig(encoder_channels=4, decoder_channels=4, **SMALL),
    SpectralConfig(bands=6, encoder_width=32, encoder_blocks=1, decoder_width=32, decoder_blocks=1, **SMALL),
)


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda config: config.family)
def codec(request, tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("family") / request.param.family
    export(build(request.param), folder)
    return load(folder)


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (1, samples)).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [8_000, 24_000, 44_100])
@pytest.mark.parametrize("samples", [0, 1, 79, 80, 240, 241, 319, 320, 321, 400, 641, 5000])
def test_decoded_audio_has_exactly_the_samples_of_the_original(codec, samples, sample_rate):
    bitrate = codec.spec.bitrate(2)
    decoded, rate = codec.decode(codec.encode(noise(samples), sample_rate, bitrate))
    assert (decoded.shape, rate) == ((1, samples), sample_rate)


@pytest.mark.parametrize("samples", [1, 240, 241, 320, 5000])
def test_frames_cover_the_signal_and_what_the_decoder_gives_late(codec, samples):
    spec = codec.spec
    codes = codec.to_codes(noise(samples), RATE, spec.bitrate(2))
    assert codes.shape[1] == -(-(samples + spec.delay_samples) // spec.hop_length)


def test_a_file_decodes_to_the_stream_without_its_delay(codec):
    pcm, bitrate = noise(5000), codec.spec.bitrate(3)
    stream = DecoderStream(codec.model, 1).push(codec.to_codes(pcm, RATE, bitrate)[None])
    decoded, _ = codec.decode(codec.encode(pcm, RATE, bitrate))
    late = codec.spec.delay_samples
    np.testing.assert_allclose(decoded, stream[:, late : late + 5000], rtol=0, atol=1e-6)


def test_codes_decode_in_step_with_the_original(codec):
    codes = codec.to_codes(noise(5000), RATE, codec.spec.bitrate(2))
    stream = DecoderStream(codec.model, 1).push(codes[None])
    np.testing.assert_array_equal(codec.from_codes(codes), stream[:, codec.spec.delay_samples :])


@pytest.mark.parametrize("codec", CONFIGS[1:], ids=["spectral"], indirect=True)
def test_a_fresh_spectral_codec_follows_low_tones_as_late_as_it_says(codec):
    tone = np.sin(2 * np.pi * 300 * np.arange(9600) / RATE, dtype=np.float32)[None] * 0.3
    latents = LatentStream(codec.model, 1).push(tone)
    decoded, _ = codec.model.decoder.step(codec.model.decoder.init_state(1), latents=latents[:, :, None])
    late = codec.spec.delay_samples
    heard = decoded[0, 0, 0, late:]
    assert np.corrcoef(heard, tone[0, :-late])[0, 1] > 0.9
