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
    assert torch.equal(modulated(x, denoiser(SPECTRAL)(x), torch.ones(2, 1, 1, 9)), x)


def test_modulation_is_a_gain_between_none_and_double_and_a_shift():
    x = torch.tensor([2.0, 3.0, -1.0]).reshape(1, 3, 1, 1)
    modulation = torch.tensor([-50.0, 50.0, 0.0, 0.0, 0.0, 5.0]).reshape(1, 6, 1, 1)
    assert modulated(x, modulation, torch.ones(1, 1, 1, 1)).flatten().tolist() == [0, 6, 4]
    half = modulated(x, modulation, torch.full((1, 1, 1, 1), 0.5))
    assert half.flatten().tolist() == [1, 4.5, 1.5]


def test_the_strength_counts_frame_by_frame():
    x, modulation = noise(1, 3, 1, 4, scale=1), noise(1, 6, 1, 4, seed=1, scale=1)
    strength = torch.tensor([0.0, 1.0, 0.0, 1.0]).reshape(1, 1, 1, 4)
    changed = (modulated(x, modulation, strength) != x).any(dim=1).flatten()
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
