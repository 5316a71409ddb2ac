"""How many calls a core carries: live sessions that really run side by side, hop by hop."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from soundstream.arrays import Array
from soundstream.codec import Codec

ROUNDS = 100
_FIRST = 4
"""Sessions of the first trial, which says how many to try next."""


@dataclass(frozen=True)
class Calls:
    """The most calls, each an encoder and a decoder, that keep up with their sound in 99 of 100 hops."""

    codec: str
    sessions: int
    """0 where a single one does not keep up."""
    round_ms: float | None
    """CPU time of one hop of all sessions, 99th percentile."""
    hop_ms: float
    """Length of a hop's sound."""


def count_calls(name: str, codec: Codec, pcm: Array, bitrate: int) -> Calls:
    """Run ever fewer sessions in turns until they keep up, from as many as their time alone would allow.

    Args:
        pcm: sound `[1, samples]` at the codec's rate, each session with another piece of it first.
    """
    hop_ms = 1000 * codec.spec.hop_length / codec.spec.sample_rate
    sessions = int(_FIRST * hop_ms / np.median(_round_ms(codec, pcm, bitrate, _FIRST)))
    while sessions:
        spent_ms = float(np.percentile(_round_ms(codec, pcm, bitrate, sessions), 99))
        if spent_ms <= hop_ms:
            return Calls(name, sessions, round(spent_ms, 2), round(hop_ms, 2))
        sessions = min(sessions - 1, int(sessions * hop_ms / spent_ms))
    return Calls(name, 0, None, round(hop_ms, 2))


def _round_ms(codec: Codec, pcm: Array, bitrate: int, sessions: int) -> np.ndarray:
    """CPU milliseconds of each round: a hop of every session from pcm to a packet to pcm."""
    rate, hop = codec.spec.sample_rate, codec.spec.hop_length
    pairs = [(codec.open_encoder(rate, bitrate=bitrate), codec.open_decoder(rate)) for _ in range(sessions)]
    sounds = [np.resize(np.roll(pcm, i * hop), (1, ROUNDS * hop)) for i in range(sessions)]
    clocks = [time.process_time()]
    for start in range(0, ROUNDS * hop, hop):
        for (encoder, decoder), sound in zip(pairs, sounds, strict=True):
            for packet in encoder.push(sound[:, start : start + hop]):
                decoder.push(packet)
        clocks.append(time.process_time())
    return 1000 * np.diff(clocks)
