import dataclasses
import itertools
import math

import pytest
import torch
from torch.nn import functional

from soundstream.errors import ConfigError
from soundstream.evaluate.probes import probes
from soundstream.nn.families import build
from soundstream.nn.families.spectral import (
    MAX_EXPONENT,
    CoefficientOutput,
    analysis,
    decoder,
    encoder,
    projection,
)
from soundstream.nn.families.spectral import Config as SpectralConfig
from soundstream.nn.layers.mdct import ENERGY_FLOOR, Features, InverseMdct, Mdct, band_edges, mdct_basis
from soundstream.nn.layers.noise import LatentNoise, RandomSigns
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


def test_bands_follow_each_other_from_what_is_passed_to_the_end_and_get_wider():
    edges = band_edges(320, 40, 24)
    widths = [end - start for start, end in itertools.pairwise(edges)]
    assert (edges[0], edges[-1], len(widths)) == (40, 320, 24)
    assert min(widths) >= 1 and widths == sorted(widths)


def test_bands_begin_where_the_config_says_and_otherwise_behind_the_latents_that_are_passed():
    silent = dataclasses.replace(SPECTRAL, latent_dim=16, bands=3)
    assert silent.first_band == 13 and dataclasses.replace(silent, band_start=5).first_band == 5
    starts = [
        int(analysis(config).features.bands[0].flatten().nonzero()[0])
        for config in (silent, dataclasses.replace(silent, band_start=5))
    ]
    assert starts == [13, 5]
    with pytest.raises(ConfigError, match="band_start is 38; expected at most hop_length - bands = 37"):
        dataclasses.replace(silent, band_start=38)


def test_features_are_levels_of_bands_and_signed_roots():
    x = torch.tensor([-100.0, -1e-4, 0.0, 1e-4, 100.0, 3.0]).reshape(1, 6, 1, 1)
    levels, roots = Features([2, 4, 6])(x).flatten().split([2, 6])
    assert roots.tolist() == pytest.approx([-10, -1e-2, 0, 1e-2, 10, math.sqrt(3)])
    expected = [math.log(0.5e-8 + ENERGY_FLOOR), math.log((100**2 + 9) / 2 + ENERGY_FLOOR)]
    assert levels.tolist() == pytest.approx(expected)


def moved_output(in_channels=6, edges=(2, 5, 8), output="exp"):
    torch.manual_seed(0)
    output = CoefficientOutput(in_channels, list(edges), output)
    for parameter in output.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return output


def linear(layer, frames):
    return frames @ layer.weight.squeeze().T + layer.bias


@pytest.mark.parametrize("kind", ["exp", "square"])
def test_an_output_is_its_value_and_noise_each_times_the_exponential_of_a_level(kind):
    output, x, hiss = moved_output(output=kind), noise(2, 6, 1, 5, scale=1), noise(2, 8, 1, 5, seed=1)
    frames = x.squeeze(2).transpose(1, 2)
    normalized = functional.layer_norm(frames, (6,), output.norm.weight, output.norm.bias)
    scale, level = linear(output.scale, normalized).exp(), linear(output.level, frames).exp()
    value = linear(output.value, frames)
    value = value.square() * value.sign() if kind == "square" else value
    expected = value * scale + hiss.squeeze(2).transpose(1, 2) * level
    torch.testing.assert_close(output(x, hiss).squeeze(2).transpose(1, 2), expected)


def test_an_output_stays_finite_whatever_comes():
    output = moved_output()
    x = 1e3 * noise(1, 6, 1, 50, scale=1)
    most = linear(output.value, x.squeeze(2).transpose(1, 2)).abs().max() + 1
    assert output(x, torch.ones(1, 8, 1, 50)).abs().max() <= most * math.exp(MAX_EXPONENT)
    assert moved_output(output="square")(x, torch.ones(1, 8, 1, 50)).isfinite().all()


def test_every_value_of_a_fresh_squared_output_can_move():
    torch.manual_seed(0)
    output = CoefficientOutput(6, [2, 5, 8], "square")
    output(noise(2, 6, 1, 5, scale=1), torch.zeros(2, 8, 1, 5)).sum().backward()
    assert output.value.weight.grad.flatten(1).any(1).all()


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.5, 1, 3])
def test_noise_differs_between_neighbouring_frames_and_coefficients(scale):
    heard = LatentNoise(64, 320)(noise(1, 64, 1, 200, scale=scale)).squeeze()
    assert float(heard.square().mean()) == pytest.approx(0.5, abs=0.02)
    assert abs(torch.corrcoef(torch.stack([heard[:, 1:].flatten(), heard[:, :-1].flatten()]))[0, 1]) < 0.02
    assert abs(torch.corrcoef(torch.stack([heard[1:].flatten(), heard[:-1].flatten()]))[0, 1]) < 0.02


def test_noise_teaches_the_layers_before_it_nothing():
    x = noise(1, 6, 1, 5, scale=1).requires_grad_()
    assert not LatentNoise(6, 8)(x).requires_grad


@torch.no_grad()
def test_random_signs_of_noise_change_from_frame_to_frame_and_spare_what_is_low():
    hiss = torch.cat([noise(1, 64, 1, 2000, scale=1), noise(1, 320, 1, 2000, seed=1, scale=0.1)], dim=1)
    factors = RandomSigns(64, 320, 64)(hiss).squeeze()
    assert (factors[:64] == 1).all() and (factors[64:].abs() == 1).all() and (factors[64:] == factors[64]).all()
    assert abs(factors[64].mean()) < 0.1 and abs((factors[64, 1:] * factors[64, :-1]).mean()) < 0.1


@torch.no_grad()
def test_what_is_short_keeps_its_sign():
    seen = torch.cat([noise(1, 64, 1, 40, scale=1), 1e-3 * noise(1, 320, 1, 40, seed=1)], dim=1)
    seen[:, 64:, :, 1::2] *= 100
    assert (RandomSigns(64, 320, 64)(seen)[..., 1:] == 1).all()


@torch.no_grad()
def test_what_a_decoder_repeats_is_no_line_with_random_signs():
    latents, coefficients = noise(1, 8, 1, 400, scale=1), noise(1, 320, 1, 1, scale=1).expand(-1, -1, -1, 400)
    repeated = InverseMdct(320, 80)(coefficients)
    signed = InverseMdct(320, 80)(coefficients * RandomSigns(8, 320, 0)(torch.cat([latents, coefficients], dim=1)))
    same, other = (probes.repetition(pcm[0, 0, 0, 320:].numpy(), 320) for pcm in (repeated, signed))
    assert abs(same) > 0.9 > 0.2 > abs(other)


MENDED = {"latent_dim": 128, "output": "square"}
"""What passes 104 coefficients, to 3.9 kHz."""


@torch.no_grad()
def fresh(x, **settings):
    """What an untrained codec without quantizer makes of coefficients; both without the delay."""
    torch.manual_seed(0)
    config = SpectralConfig(**settings)
    x = InverseMdct(config.hop_length, config.overlap)(x)
    latents = projection(config)(encoder(config)(analysis(config)(x)))
    latents = latents - latents.mean(dim=(0, 2, 3), keepdim=True)
    latents = latents / latents.std()
    decoded = decoder(config)(latents)
    return x[..., : -config.delay_samples], decoded[..., config.delay_samples :]


@pytest.mark.parametrize(("settings", "passed"), [({}, 40), (MENDED, 104)], ids=["exp", "square"])
def test_a_fresh_codec_passes_the_lowest_coefficients_through(settings, passed):
    low = Mdct(320, 80)(noise(1, 1, 1, 40 * 320))
    low[:, passed:] *= 1e-3
    x, decoded = fresh(low, **settings)
    assert torch.corrcoef(torch.stack([x.flatten(), decoded.flatten()]))[0, 1] > 0.9


def test_a_square_undoes_the_roots_so_that_a_fresh_codec_keeps_loud_and_soft_apart():
    """The slope of decoded over original coefficients, in dB over dB: 1 inverts the roots, and 1/2 leaves them."""
    low = Mdct(320, 80)(noise(1, 1, 1, 200 * 320)) * torch.logspace(-1.5, 0, 201)[1:]
    low[:, 40:] *= 1e-3
    slopes = []
    for settings in ({"latent_dim": 64}, {"latent_dim": 64, "output": "square"}):
        x, decoded = (Mdct(320, 80)(functional.pad(part, (0, 80)))[0, :40, 0] for part in fresh(low, **settings))
        levels = torch.stack([part[:, 5:195].square().mean(0).log() for part in (x, decoded)])
        slopes.append(float(torch.cov(levels)[0, 1] / levels[0].var()))
    assert slopes == pytest.approx([0.5, 1.0], abs=0.1)


@pytest.mark.parametrize(("settings", "passed"), [({}, 40), (MENDED, 104)], ids=["exp", "square"])
def test_a_fresh_codec_fills_the_bands_above_with_noise_of_their_level(settings, passed):
    loud = torch.where(torch.arange(120) < 60, 1.0, 0.02)
    x = Mdct(320, 80)(noise(1, 1, 1, 120 * 320)) * loud
    _, decoded = fresh(x, **settings)
    levels = Mdct(320, 80)(functional.pad(decoded, (0, 80)))[0, passed:, 0].square().mean(0).log()
    assert levels[5:55].mean() - levels[65:115].mean() > 3


def test_the_base_model_has_about_six_million_parameters():
    assert build(SpectralConfig()).num_parameters() / 1e6 == pytest.approx(6.5, abs=0.5)


def test_transforms_and_noise_are_neither_trained_nor_saved():
    networks = analysis(SPECTRAL), decoder(SPECTRAL)
    for network in networks:
        names = [*network.state_dict(), *(name for name, _ in network.named_parameters())]
        assert not [name for name in names if "mdct" in name or "noise" in name]
