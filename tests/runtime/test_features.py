"""Features that an encoder takes beside the sound: frame by frame they are added to the latents, however those come."""

import numpy as np
import pytest

from soundstream.errors import ConfigError
from soundstream.runtime.features import FeatureStream, check_features
from soundstream.spec import Codebook, CodecSpec, Features

TOLD = Features(3, "of a model of speech")
PLAIN = CodecSpec(sample_rate=8_000, hop_length=80, latent_dim=2, codebooks=(Codebook(4),), counts=(1,))


class Sums:
    """A network of two channels: the sum of all features so far, and the same doubled."""

    def init_state(self, batch):
        return np.zeros((batch, 1, 1))

    def step(self, state, features):
        sums = state + features.sum(1).cumsum(-1)
        return np.stack([sums, 2 * sums], axis=1), sums[..., -1:]


def stream(frames, streams=1):
    features = np.arange(streams * 3 * frames, dtype=np.float32).reshape(streams, 3, frames)
    return FeatureStream(Sums(), TOLD, features, streams), features


@pytest.mark.parametrize("size", [1, 2, 5, 10])
def test_latents_in_any_pieces_get_what_the_whole_gets(size):
    added, features = stream(10, streams=2)
    latents = np.random.default_rng(0).normal(size=(2, 2, 10)).astype(np.float32)
    found = [added.added(latents[..., start : start + size]) for start in range(0, 10, size)]
    sums = features.sum(1).cumsum(-1)
    np.testing.assert_allclose(np.concatenate(found, axis=2), latents + np.stack([sums, 2 * sums], axis=1), rtol=1e-6)
    added.finish()


def test_the_last_of_the_features_stands_for_two_that_are_missing():
    added, features = stream(4)
    found = added.added(np.zeros((1, 2, 6), np.float32))
    longer = np.concatenate([features, features[..., -1:], features[..., -1:]], axis=2)
    np.testing.assert_array_equal(found[:, 0], longer.sum(1).cumsum(-1))


@pytest.mark.parametrize("frames", [0, 3])
def test_fewer_are_refused_with_both_numbers(frames):
    added, _ = stream(frames)
    with pytest.raises(ConfigError, match=rf"features have {frames} frames; the sound has at least 6"):
        added.added(np.zeros((1, 2, 6), np.float32))


def test_features_of_a_longer_sound_are_refused_at_its_end():
    added, _ = stream(9)
    added.added(np.zeros((1, 2, 6), np.float32))
    with pytest.raises(ConfigError, match="features have 9 frames; the sound has 6"):
        added.finish()


@pytest.mark.parametrize("features", [np.zeros((4, 5)), np.zeros((2, 3, 5)), np.zeros(3), np.full((3, 5), np.nan)])
def test_another_shape_is_refused_with_what_is_expected(features):
    with pytest.raises(ConfigError, match=r"expected finite numbers \[3, frames\] .* of a model of speech"):
        FeatureStream(Sums(), TOLD, features, 1)


def test_who_needs_none_takes_none():
    check_features(PLAIN, None)
    with pytest.raises(ConfigError, match="codes sound alone"):
        check_features(PLAIN, np.zeros((3, 5)))
