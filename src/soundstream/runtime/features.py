"""What an encoder takes beside the sound: features of it, from a network that is not part of the codec.

    pcm ── encoder ── latents ── + ── quantizer
    features ── feature network ─┘

They have a vector for every frame. A causal network of the artifact makes of them what is added to the latents.
"""

from __future__ import annotations

import numpy as np

from soundstream.arrays import Array
from soundstream.errors import ConfigError
from soundstream.runtime.session import Network
from soundstream.spec import CodecSpec, Features

SLACK_FRAMES = 2
"""Frames by which features of a sound may be fewer or more than its own: who makes them rounds otherwise."""


class FeatureStream:
    """Adds to latents, frame by frame, what features of the same sound make; one for each signal.

    Args:
        features: `[channels of features, frames]` of one stream, `[streams, channels of features, frames]` of several.
    Raises:
        ConfigError: they have another shape, or are not finite.
    """

    def __init__(self, network: Network, told: Features, features: Array, streams: int) -> None:
        features = np.asarray(features, np.float32)
        self._features = features[None] if features.ndim == 2 else features
        if self._features.shape[:2] != (streams, told.channels) or not np.isfinite(self._features).all():
            raise ConfigError(
                f"features are {list(features.shape)}; expected finite numbers [{told.channels}, frames] for each of "
                f"{streams} streams: {told.name}"
            )
        self._network, self._state, self._done = network, network.init_state(streams), 0

    def added(self, latents: Array) -> Array:
        """Take the next latents `[streams, latent_dim, frames]`; give their sums with what features add.

        The last of the features stands for a few that they lack.

        Raises:
            ConfigError: the sound has more frames than that.
        """
        if not latents.shape[2]:
            return latents
        known, end = self._features.shape[2], self._done + latents.shape[2]
        if not known or end > known + SLACK_FRAMES:
            raise ConfigError(f"features have {known} frames; the sound has at least {end}: give those of all of it")
        places = np.arange(self._done, end).clip(max=known - 1)
        inputs = np.ascontiguousarray(self._features[:, :, None, places])
        found, self._state = self._network.step(self._state, features=inputs)
        self._done = end
        return latents + found[:, :, 0]

    def finish(self) -> None:
        """Refuse features of a longer sound; the signal is over.

        Raises:
            ConfigError: there are frames left.
        """
        if self._features.shape[2] > self._done + SLACK_FRAMES:
            raise ConfigError(f"features have {self._features.shape[2]} frames; the sound has {self._done}")


def feature_stream(
    spec: CodecSpec, network: Network | None, features: Array | None, streams: int
) -> FeatureStream | None:
    """What adds features of a sound to its latents, if the codec takes some.

    Raises:
        ConfigError: they are missing, too much, or of another shape.
    """
    check_features(spec, features)
    if features is None or network is None or not spec.features:
        return None
    return FeatureStream(network, spec.features, features, streams)


def check_features(spec: CodecSpec, features: Array | None) -> None:
    """Refuse sound without the features that an encoder needs, and features of which a codec knows nothing.

    Raises:
        ConfigError: they are missing, or are too much.
    """
    if spec.features and features is None:
        raise ConfigError(spec.features.missing)
    if features is not None and not spec.features:
        raise ConfigError("this model codes sound alone; leave out features")
