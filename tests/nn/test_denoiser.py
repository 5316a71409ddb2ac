import dataclasses

import pytest
import torch

import tiny
from soundstream.nn.denoiser import denoiser, masked
from soundstream.nn.families import build
from soundstream.nn.model import plain_condition
from tiny import SPECTRAL, noise

FEATURES = SPECTRAL.bands + SPECTRAL.hop_length
SIZES = SPECTRAL.bands, SPECTRAL.hop_length, 1, 10, 5


def test_a_fresh_denoiser_takes_next_to_nothing():
    mask = denoiser(*SIZES)(noise(2, FEATURES, 1, 9, scale=1))
    assert mask.shape == (2, SPECTRAL.hop_length, 1, 9)
    assert ((mask > 0.98) & (mask < 1)).all()


def test_a_mask_counts_as_far_as_the_strength_says():
    x, mask = (torch.tensor(values).reshape(1, -1, 1, 1) for values in ([2.0, 3.0, -1.0], [0.0, 1.0, 0.5]))
    for strength, expected in ((0.0, [2, 3, -1]), (0.5, [1, 3, -0.75]), (1.0, [0, 3, -0.5])):
        assert masked(x, mask, torch.full((1, 1, 1, 1), strength)).flatten().tolist() == expected


@torch.no_grad()
def test_whatever_a_denoiser_says_the_encoder_sees_features_of_a_quieter_sound():
    model, audio = tiny.model(config=SPECTRAL), noise(3, 1, 20 * SPECTRAL.hop_length)
    model.denoiser.out.weight.mul_(50)
    plain, cleaned = (model.analysed(audio.unsqueeze(2), c) for c in (None, plain_condition(SPECTRAL, 3, 20).flip(1)))
    bands = SPECTRAL.bands
    assert (cleaned[:, bands:].abs() <= plain[:, bands:].abs()).all()
    assert (cleaned[:, :bands] <= plain[:, :bands] + 1e-5).all() and (cleaned[:, :bands] < plain[:, :bands] - 1).any()
    coefficients = cleaned[:, bands:].square() * cleaned[:, bands:].sign()
    torch.testing.assert_close(model.analysis.features(coefficients), cleaned, rtol=1e-4, atol=1e-4)


def test_the_strength_counts_frame_by_frame():
    x, mask = noise(1, 3, 1, 4, scale=1), torch.full((1, 3, 1, 4), 0.5)
    strength = torch.tensor([0.0, 1.0, 0.0, 1.0]).reshape(1, 1, 1, 4)
    changed = (masked(x, mask, strength) != x).any(dim=1).flatten()
    assert changed.tolist() == [False, True, False, True]


def test_levels_have_no_magnitudes():
    seen = denoiser(*SIZES).magnitudes(noise(1, FEATURES, 1, 2, scale=1))
    assert seen.shape[1] == FEATURES + SPECTRAL.hop_length
    assert torch.equal(seen[:, FEATURES:], seen[:, SPECTRAL.bands : FEATURES].abs())


@torch.no_grad()
def test_with_the_switch_off_the_codec_computes_what_it_would_without():
    model = tiny.model(config=SPECTRAL)
    without = build(dataclasses.replace(SPECTRAL, denoiser_blocks=0)).eval()
    assert without.denoiser is None
    without.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("denoiser")})
    audio, plain = noise(2, 1, 10 * SPECTRAL.hop_length), plain_condition(SPECTRAL, 2, 10)
    assert torch.equal(model.encode(audio, plain), without.encode(audio))
    assert not torch.allclose(model.encode(audio, plain.flip(1)), without.encode(audio, plain.flip(1)))


@pytest.mark.parametrize("blocks", [0, 2])
def test_a_denoiser_has_as_many_blocks_as_its_config_says(blocks):
    made = build(dataclasses.replace(SPECTRAL, denoiser_blocks=blocks)).denoiser
    assert len([name for name, _ in made.layers() if name.startswith("block")] if made else []) == blocks
