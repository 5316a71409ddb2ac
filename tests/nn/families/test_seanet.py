import dataclasses

import pytest
import torch

from soundstream.nn.families.seanet import OUTPUT_SCALE, RESIDUAL_SCALE, ResidualUnit, decoder, encoder
from soundstream.nn.families.seanet import Config as SeanetConfig
from tiny import CONFIG, TRUNK, noise


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


@pytest.mark.parametrize("blocks", [(1, 0), (0, 1), (2, 3)], ids=str)
def test_a_trunk_has_its_blocks_on_its_sides_and_keeps_the_shapes(blocks):
    config = dataclasses.replace(TRUNK, encoder_trunk_blocks=blocks[0], decoder_trunk_blocks=blocks[1])
    networks = encoder(config), decoder(config)
    assert [len(network.trunk.layers()) if hasattr(network, "trunk") else 0 for network in networks] == list(blocks)
    latents = networks[0](noise(2, 1, 1, 6 * config.hop_length))
    assert latents.shape == (2, config.latent_dim, 1, 6)
    assert networks[1](latents).shape == (2, 1, 1, 6 * config.hop_length)


def test_without_blocks_the_layers_are_those_of_the_paper_whatever_the_width_of_a_trunk():
    for network in (encoder, decoder):
        paper, other = (network(dataclasses.replace(CONFIG, trunk_width=width)).state_dict() for width in (512, 99))
        assert {k: v.shape for k, v in paper.items()} == {k: v.shape for k, v in other.items()}
        assert not [name for name in paper if "trunk" in name or "widen" in name or "narrow" in name]


@torch.no_grad()
def test_a_fresh_trunk_does_nothing():
    x = noise(2, TRUNK.trunk_width, 1, 9)
    assert all(torch.equal(network(TRUNK).trunk(x), x) for network in (encoder, decoder))


@torch.no_grad()
@pytest.mark.parametrize("config", [SeanetConfig(), SeanetConfig(encoder_trunk_blocks=1, decoder_trunk_blocks=1)])
def test_a_fresh_codec_keeps_the_variance_of_noise_through_every_block(config):
    torch.manual_seed(0)
    x = noise(1, 1, 1, 12_800, scale=1)
    for _, layer in encoder(config).layers():
        x = layer(x)
        assert 0.4 < x.std() < 2.5
    *layers, (_, last) = decoder(config).layers()
    for _, layer in layers:
        x = layer(x)
        assert 0.4 < x.std() < 2.5
    assert 0.4 * OUTPUT_SCALE < last(x).std() < 2.5 * OUTPUT_SCALE
