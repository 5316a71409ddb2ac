import math

import pytest
import torch
from torch.nn import functional

from soundstream.config import SpectralConfig
from soundstream.nn.model import SoundStream
from soundstream.nn.spectral import (
    ConvNeXtBlock,
    InverseMdct,
    Mdct,
    ScaledOutput,
    SignedSqrt,
    decoder,
    encoder,
    mdct_basis,
)
from tiny import SPECTRAL, noise

OVERLAPS = [2, 40, 80, 160, 320]


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_the_bare_transform_gives_its_input_back_one_overlap_later(overlap):
    x = noise(2, 1, 1, 20 * 320, scale=1)
    y = InverseMdct(320, overlap)(Mdct(320, overlap)(x))
    torch.testing.assert_close(y[..., overlap:], x[..., :-overlap], rtol=0, atol=1e-5)


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_the_basis_is_orthonormal_within_a_frame_and_to_the_next(overlap):
    basis = mdct_basis(320, overlap).double()
    torch.testing.assert_close(basis @ basis.T, torch.eye(320).double(), rtol=0, atol=1e-5)
    shared = basis[:, 320:] @ basis[:, :overlap].T
    assert shared.abs().max() < 1e-5


def test_a_tone_lies_in_the_coefficients_of_its_frequency():
    time = torch.arange(20 * 320) / 24_000
    tone = torch.sin(2 * math.pi * 1000 * time)[None, None, None]
    energy = Mdct(320, 80)(tone).square().mean(dim=(0, 2, 3))
    width = 24_000 / 2 / 320
    assert int(energy.argmax()) == int(1000 / width)
    assert energy[: int(2000 / width)].sum() / energy.sum() > 0.99


def test_the_signed_square_root_halves_decibels_and_keeps_signs():
    x = torch.tensor([-100.0, -1e-4, 0.0, 1e-4, 100.0]).reshape(1, 5, 1, 1)
    assert SignedSqrt()(x).flatten().tolist() == pytest.approx([-10, -1e-2, 0, 1e-2, 10])


def test_an_output_is_its_value_times_the_exponential_of_its_scale():
    torch.manual_seed(0)
    output, x = ScaledOutput(6, 8), noise(2, 6, 1, 5, scale=1)
    for parameter in output.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    frames = x.squeeze(2).transpose(1, 2)
    value = frames @ output.value.weight.squeeze().T + output.value.bias
    scale = functional.layer_norm(frames, (6,), output.norm.weight, output.norm.bias)
    expected = value * (scale @ output.scale.weight.squeeze().T + output.scale.bias).exp()
    torch.testing.assert_close(output(x).squeeze(2).transpose(1, 2), expected)


def test_a_convnext_block_is_its_formula():
    torch.manual_seed(0)
    block, x = ConvNeXtBlock(6, kernel=7), noise(2, 6, 1, 30)
    for parameter in block.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    padded = functional.pad(x.squeeze(2), (6, 0))
    y = functional.conv1d(padded, block.depthwise.weight.squeeze(2), block.depthwise.bias, groups=6).transpose(1, 2)
    y = functional.layer_norm(y, (6,), block.norm.weight, block.norm.bias)
    y = functional.gelu(y @ block.expand.weight.T + block.expand.bias) @ block.shrink.weight.T + block.shrink.bias
    torch.testing.assert_close(block(x).squeeze(2), x.squeeze(2) + y.transpose(1, 2))


@torch.no_grad()
def test_a_fresh_codec_passes_the_lowest_coefficients_through():
    torch.manual_seed(0)
    config = SpectralConfig()
    transform = Mdct(config.hop_length, config.overlap)
    low = transform(noise(1, 1, 1, 40 * 320))
    low[:, config.latent_dim :] = 0
    x = InverseMdct(config.hop_length, config.overlap)(low)
    decoded = decoder(config)(encoder(config)(x))
    x, decoded = x[..., : -config.delay_samples], decoded[..., config.delay_samples :]
    assert torch.corrcoef(torch.stack([x.flatten(), decoded.flatten()]))[0, 1] > 0.9


def test_the_base_model_has_about_six_million_parameters():
    assert SoundStream(SpectralConfig()).num_parameters() / 1e6 == pytest.approx(6.5, abs=0.5)


def test_transforms_are_neither_trained_nor_saved():
    networks = encoder(SPECTRAL), decoder(SPECTRAL)
    for network in networks:
        assert not [name for name, _ in network.named_parameters() if "mdct" in name]
        assert not [name for name in network.state_dict() if "mdct" in name]
