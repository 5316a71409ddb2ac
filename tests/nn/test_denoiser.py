import dataclasses

import pytest
import torch

import tiny
from soundstream.nn.denoiser import denoiser, modulated
from soundstream.nn.model import SoundStream, plain_condition
from tiny import SPECTRAL, noise

FEATURES = SPECTRAL.bands + SPECTRAL.hop_length


def test_a_fresh_denoiser_changes_nothing():
    x = noise(2, FEATURES, 1, 9, scale=1)
    assert torch.equal(modulated(x, denoiser(SPECTRAL)(x), torch.ones(2, 1, 1, 9), SPECTRAL.bands), x)


def changed(x, gain, shift, strength=1.0, bands=0):
    """What modulation makes of single values."""
    values, modulation = (torch.tensor(part).reshape(1, -1, 1, 1) for part in (x, [*gain, *shift]))
    return modulated(values, modulation, torch.full((1, 1, 1, 1), strength), bands).flatten().tolist()


def test_modulation_is_a_gain_and_a_shift_as_far_as_the_strength_says():
    assert changed([2.0, 3.0, -1.0], [-50.0, 0.0, 0.0], [0.0, -1.0, 1.5]) == [0, 2, 0.5]
    assert changed([2.0, 3.0, -1.0], [-50.0, 0.0, 0.0], [0.0, -1.0, 1.5], strength=0.5) == [1, 2.5, -0.25]


def test_nothing_is_added():
    assert changed([2.0, -3.0, -1.0], [50.0, 50.0, 0.0], [9.0, 0.0, 5.0]) == [2, -3, 1]  # magnitudes do not grow
    assert changed([-4.0, -4.0], [0.0, 0.0], [1.0, -1.0], bands=2) == [-4, -5]  # and levels do not rise


@torch.no_grad()
def test_whatever_a_denoiser_says_the_encoder_sees_a_quieter_sound():
    x, modulation = noise(3, FEATURES, 1, 20, scale=2), noise(3, 2 * FEATURES, 1, 20, seed=1, scale=9)
    y = modulated(x, modulation, torch.rand(3, 1, 1, 20), SPECTRAL.bands)
    bands = SPECTRAL.bands
    assert (y[:, :bands] <= x[:, :bands]).all() and (y[:, bands:].abs() <= x[:, bands:].abs() + 1e-6).all()


def test_the_strength_counts_frame_by_frame():
    x, modulation = noise(1, 3, 1, 4, scale=1), noise(1, 6, 1, 4, seed=1, scale=1)
    strength = torch.tensor([0.0, 1.0, 0.0, 1.0]).reshape(1, 1, 1, 4)
    changed = (modulated(x, modulation, strength, 1) != x).any(dim=1).flatten()
    assert changed.tolist() == [False, True, False, True]


def test_levels_have_no_magnitudes():
    seen = denoiser(SPECTRAL).magnitudes(noise(1, FEATURES, 1, 2, scale=1))
    assert seen.shape[1] == FEATURES + SPECTRAL.hop_length
    assert torch.equal(seen[:, FEATURES:], seen[:, SPECTRAL.bands : FEATURES].abs())


@torch.no_grad()
def test_with_the_switch_off_the_codec_computes_what_it_would_without():
    model = tiny.model(config=SPECTRAL)
    without = SoundStream(dataclasses.replace(SPECTRAL, denoiser_blocks=0)).eval()
    assert without.denoiser is None
    without.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("denoiser")})
    audio, plain = noise(2, 1, 10 * SPECTRAL.hop_length), plain_condition(SPECTRAL, 2, 10)
    assert torch.equal(model.encode(audio, plain), without.encode(audio))
    assert not torch.allclose(model.encode(audio, plain.flip(1)), without.encode(audio, plain.flip(1)))


@pytest.mark.parametrize("blocks", [0, 2])
def test_a_denoiser_has_as_many_blocks_as_its_config_says(blocks):
    made = SoundStream(dataclasses.replace(SPECTRAL, denoiser_blocks=blocks)).denoiser
    assert len([name for name, _ in made.layers() if name.startswith("block")] if made else []) == blocks
