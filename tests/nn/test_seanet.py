import dataclasses

import pytest
import torch

from soundstream.config import SeanetConfig
from soundstream.nn.seanet import OUTPUT_SCALE, RESIDUAL_SCALE, ResidualUnit, decoder, encoder
from tiny import CONFIG, noise


@pytest.mark.parametrize("strides", [(2, 4, 5), (1, 4, 5), (3,), (2, 2, 2, 2)], ids=str)
def test_encoder_and_decoder_have_the_shapes_of_the_config(strides):
    config = dataclasses.replace(CONFIG, strides=strides)
    latents = encoder(config)(noise(2, 1, 1, 6 * config.hop_length))
    assert latents.shape == (2, config.latent_dim, 1, 6)
    assert decoder(config)(latents).shape == (2, 1, 1, 6 * config.hop_length)


def test_channels_double_and_the_decoder_mirrors_the_encoder():
    down = [getattr(encoder(SeanetConfig()), f"block{i}").down for i in range(4)]
    up = [getattr(decoder(SeanetConfig()), f"block{i}").up for i in range(4)]
    assert [conv.weight.shape[0] for conv in down] == [32, 64, 128, 256]
    assert [conv.stride for conv in down] == [2, 4, 5, 8]
    assert [layer.conv.weight.shape[1] for layer in up] == [256, 128, 64, 32]
    assert [layer.stride for layer in up] == [8, 5, 4, 2]


def test_a_residual_unit_adds_its_branch():
    unit, x = ResidualUnit(4, dilation=3), noise(1, 4, 1, 30)
    torch.testing.assert_close(unit(x) - x, unit.branch(x))


def test_a_fresh_residual_branch_is_quieter_than_its_input():
    torch.manual_seed(0)
    unit, x = ResidualUnit(64, dilation=3), noise(1, 64, 1, 400, scale=1)
    assert 0.5 * RESIDUAL_SCALE < unit.branch(x).std() < 1.5 * RESIDUAL_SCALE


@torch.no_grad()
def test_a_fresh_codec_keeps_the_variance_of_noise_through_every_block():
    torch.manual_seed(0)
    x, config = noise(1, 1, 1, 12_800, scale=1), SeanetConfig()
    for _, layer in encoder(config).layers():
        x = layer(x)
        assert 0.4 < x.std() < 2.5
    *layers, (_, last) = decoder(config).layers()
    for _, layer in layers:
        x = layer(x)
        assert 0.4 < x.std() < 2.5
    assert 0.4 * OUTPUT_SCALE < last(x).std() < 2.5 * OUTPUT_SCALE
