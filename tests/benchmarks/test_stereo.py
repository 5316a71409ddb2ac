from types import SimpleNamespace

import numpy as np
import pytest
import torch

import tiny
from benchmarks import stereo
from soundstream.nn.families.vcnac import Config

RATE = 24_000


def noise(seed, seconds=1.0):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def scenes():
    return stereo.scenes(noise(0), noise(1), RATE)


def test_a_panned_sound_is_one_signal_when_turned_and_others_are_not(scenes):
    assert stereo.common_angle(scenes["panned"]) == pytest.approx(stereo.PAN[0], abs=1e-4)
    for name, rest in {"panned": (0, 1e-6), "apart": (0.1, 1), "room": (0.02, 1), "two sounds": (0.1, 1)}.items():
        turn = stereo.common_angle(scenes[name])
        left, right = scenes[name]
        one, other = (np.cos(turn) * left + np.sin(turn) * right, np.cos(turn) * right - np.sin(turn) * left)
        assert rest[0] <= np.square(other).sum() / np.square(one).sum() <= rest[1], name


@pytest.mark.parametrize("angle", [0.0, np.pi / 4, 0.3])
def test_signals_are_turned_back_and_lowered_again(monkeypatch, scenes, angle):
    asked = []
    monkeypatch.setattr(stereo, "one_channel", lambda codec, sound, count: (asked.append(sound) or sound, 8.0 * count))
    decoded, bits = stereo.rotated(None, 6, 2, lambda pcm: angle)(scenes["two sounds"])
    np.testing.assert_allclose(decoded, scenes["two sounds"], rtol=0, atol=1e-6)
    assert bits == 64 and (not angle or np.std(asked[0]) == pytest.approx(np.std(asked[1]), rel=0.01))


def test_levels_bring_a_panned_sound_back_nearly(monkeypatch, scenes):
    monkeypatch.setattr(stereo, "one_channel", lambda codec, sound, count: (sound, 0.0))
    codec = SimpleNamespace(spec=SimpleNamespace(sample_rate=RATE))
    pcm = scenes["panned"]
    decoded, bits = stereo.with_levels(codec, 3)(pcm)
    assert np.abs(decoded - pcm).max() < 0.2 * np.abs(pcm).max() and bits <= 750 * len(pcm[0]) / RATE * 1.1
    assert stereo.between(pcm, decoded, RATE)["level_difference_db"] < 1.5


def test_what_is_between_channels_is_told_in_db(scenes):
    pcm = scenes["two sounds"]
    louder, late = pcm * np.array([[1.0], [0.5]], np.float32), np.stack([pcm[0], np.roll(pcm[1], 14)])
    level, coherent = (
        [stereo.between(pcm, other, RATE)[name] for other in (pcm, 0.5 * pcm, louder, late)]
        for name in ("level_difference_db", "coherence")
    )
    np.testing.assert_allclose(level[:3], [0, 0, 6], atol=0.1)
    np.testing.assert_allclose(coherent[:3], 0, atol=0.01)
    assert coherent[3] > 0.3 and level[3] < 3
    assert stereo.between(0 * pcm, pcm, RATE) == {"level_difference_db": None, "coherence": None}
    panned, alike = scenes["panned"], np.stack([scenes["apart"].mean(0)] * 2)
    assert stereo.between(scenes["apart"], panned, RATE)["coherence"] > 0.5
    assert stereo.between(panned, alike, RATE)["coherence"] < 0.01


@pytest.mark.parametrize("channels", [1, 2])
@torch.no_grad()
def test_networks_code_two_channels_alone_or_together(channels):
    small = {"encoder_channels": 2, "decoder_channels": 2, "latent_dim": 4, "num_quantizers": 2, "codebook_size": 16}
    model = tiny.model(config=Config(sample_rate=RATE, sizes=(channels,), condition_dim=1, **small))
    pcm = np.stack([noise(0, 0.1), noise(1, 0.1)])
    decoded, bits = stereo.by_network(model, 2)(pcm)
    assert decoded.shape == pcm.shape and bits == 4 * 2 * 4 * (2 // channels)
    alone, _ = stereo.by_network(model, 2)(pcm * [[1], [0]])
    assert (np.abs(decoded[0] - alone[0]).max() > 1e-7) == (channels == 2)
