import pytest
import torch
from jaxtyping import TypeCheckError

import tiny
from soundstream.nn.families import build
from soundstream.nn.families.seanet import Config as SeanetConfig
from soundstream.nn.model import plain_condition


@pytest.mark.parametrize(
    ("encoder_channels", "decoder_channels", "millions"),
    [(32, 32, 8.4), (16, 16, 2.4), (16, 32, 5.5), (8, 32, 4.8), (32, 16, 5.3), (32, 8, 4.4)],
)
def test_parameter_counts_of_table_1(encoder_channels, decoder_channels, millions):
    config = SeanetConfig(
        encoder_channels=encoder_channels,
        decoder_channels=decoder_channels,
        latent_dim=256,
        num_quantizers=1,
        codebook_size=2,
    )
    assert build(config).num_parameters() / 1e6 == pytest.approx(millions, abs=0.06)


def test_codebooks_are_not_parameters():
    one, many = (
        build(SeanetConfig(encoder_channels=2, decoder_channels=2, latent_dim=8, num_quantizers=n)) for n in (1, 4)
    )
    assert one.num_parameters() == many.num_parameters()


@pytest.mark.parametrize("frames", [1, 7])
def test_decoded_audio_is_as_long_as_the_input(frames):
    audio = tiny.noise(2, 1, frames * tiny.CONFIG.hop_length)
    output = tiny.model()(audio, torch.tensor([1, 4]))
    assert output.audio.shape == audio.shape
    assert output.latents.shape == (2, tiny.CONFIG.latent_dim, frames)
    assert output.codes.shape == (2, tiny.CONFIG.num_quantizers, frames)


def test_forward_is_encode_quantize_decode():
    model, audio = tiny.model(), tiny.noise(2, 1, 400)
    output = model(audio, torch.tensor([3, 3]))
    latents = model.encode(audio)
    codes = model.quantizer.encode(latents, 3)
    torch.testing.assert_close(output.latents, latents)
    assert torch.equal(output.codes[:, :3], codes)
    torch.testing.assert_close(output.audio, model.decode(model.quantizer.decode(codes)))


def test_without_a_number_of_quantizers_the_decoder_hears_the_latents_themselves():
    model, audio = tiny.model(), tiny.noise(2, 1, 400)
    output = model(audio, None)
    assert output.codes is None
    assert output.commitment == 0
    torch.testing.assert_close(output.audio, model.decode(model.encode(audio)))


def test_plain_coding_is_the_default_condition():
    model, audio = tiny.model(), tiny.noise(2, 1, 400)
    plain = plain_condition(tiny.CONFIG, 2, 10)
    assert torch.equal(model.encode(audio), model.encode(audio, plain))
    assert not torch.allclose(model.encode(audio), model.encode(audio, plain.flip(1)))


def test_the_condition_of_a_frame_reaches_the_latents_of_that_frame_only():
    model, audio = tiny.model(), tiny.noise(1, 1, 400)
    condition = plain_condition(tiny.CONFIG, 1, 10)
    condition[..., 6] = condition[..., 6].flip(1)
    changed = (model.encode(audio, condition) != model.encode(audio)).any(dim=1)[0]
    assert changed.nonzero().flatten().tolist() == [6]


@torch.no_grad()
@pytest.mark.parametrize("config", tiny.LISTENERS, ids=lambda config: config.family)
def test_film_before_the_decoder_leaves_the_latents_and_changes_audio_from_its_frame_on(config):
    model = tiny.model(config=config)
    audio, condition = tiny.noise(1, 1, 400), plain_condition(config, 1, 10)
    condition[..., 6:] = condition[..., 6:].flip(1)
    latents = model.encode(audio, condition)
    assert torch.equal(latents, model.encode(audio))
    changed = (model.decode(latents, condition) != model.decode(latents))[0, 0]
    assert not changed[: 6 * config.hop_length].any()
    assert changed[6 * config.hop_length :].any()
    assert torch.equal(model(audio, None, condition).audio, model.decode(latents, condition))


def test_shapes_are_checked_in_tests():
    with pytest.raises(TypeCheckError):
        tiny.model().encode(tiny.noise(2, 400))
