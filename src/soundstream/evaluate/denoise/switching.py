"""Whether turning the denoise switch in the middle of a stream is heard as a click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundstream import audio
from soundstream.arrays import Array
from soundstream.codec import Codec
from soundstream.runtime.stream import DecoderStream, LatentStream, new_code_stream

EVERY_S = 0.5
"""Time between two turns of the switch."""
NEAR_S, AROUND_S = 0.03, 0.1
"""A click would be within the first after a turn; it is compared with what is within the second to either side."""


@dataclass(frozen=True)
class Switching:
    """How steep decoded audio is where the switch was turned.

    A ratio is the largest step from sample to sample after the turn, over the largest one around that time with the
    switch left off and left on: 1 and less is no click. A little more may be chance, for other codes give other steps:
    the control says how much there is, at the same times, with the switch left half way.
    """

    turns: int
    ratio_p50: float
    ratio_p90: float
    ratio_max: float
    control_max: float


def switching(codec: Codec, sounds: Sequence[tuple[Array, int]], bitrate: int) -> Switching:
    """Code sounds, each `[samples]` with its sample rate, and turn the switch every half second."""
    found = [ratio for pcm, sample_rate in sounds for ratio in _ratios(codec, pcm, sample_rate, bitrate)]
    turned, control = zip(*found, strict=True)
    quantiles = [float(np.quantile(turned, share)) for share in (0.5, 0.9, 1.0)]
    return Switching(len(found), *(round(value, 3) for value in (*quantiles, max(control))))


def _ratios(codec: Codec, pcm: Array, sample_rate: int, bitrate: int) -> list[tuple[float, float]]:
    """The ratio of each turn, and of its control."""
    spec = codec.spec
    pcm = audio.resample(pcm[None], sample_rate, spec.sample_rate)
    block = round(EVERY_S * spec.frame_rate) * spec.hop_length
    off, on, turned, half = (
        _coded(codec, pcm, bitrate, block, values) for values in ((0.0,), (1.0,), (0.0, 1.0), (0.5,))
    )
    near, around = (round(seconds * spec.sample_rate) for seconds in (NEAR_S, AROUND_S))
    turns = range(block, pcm.shape[1] - around, block)
    found = []
    for turn in turns:
        usual = max(_step(still[turn - around : turn + around]) for still in (off, on))
        after, control = (_step(pcm[turn - 1 : turn + near]) for pcm in (turned, half))
        found.append((after / usual, control / usual))
    return found


def _coded(codec: Codec, pcm: Array, bitrate: int, block: int, values: Sequence[float]) -> Array:
    """Decoded audio `[samples]` at the codec's rate; blocks take the values of the switch in turn."""
    encoder = LatentStream(codec.model, 1)
    starts = range(0, pcm.shape[1], block)
    parts = [encoder.push(pcm[:, at : at + block], values[i % len(values)]) for i, at in enumerate(starts)]
    codes = new_code_stream(codec.model, 1).push(np.concatenate(parts, axis=2), codec.spec.quantizers_for(bitrate))
    return DecoderStream(codec.model, 1).push(codes)[0]


def _step(pcm: Array) -> float:
    return max(float(np.abs(np.diff(pcm)).max()), 1e-6)
