"""Codes by what they sound like: of the nearest codes of each frame, those that are decoded best.

The code that is nearest to a latent is not always the one that sounds best: a decoder hears errors of some latents more
than of others, and not alike in all sounds. So several codes of a frame are decoded, each from what the decoder
remembers of what was chosen before, and compared with the sound that they code. Format and decoder are the same.

    for each frame     M survivors x K nearest codes ── decoder ── distance to the sound ── M survivors, the best ones
    some frames later  the code that the best survivor began with

Source: ours. Known from speech codecs as analysis by synthesis (Schroeder and Atal, 1985: CELP), and from trellis
coding as the M-algorithm (Anderson and Mohan, 1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundstream.analysis.band_levels import UNIT_DB, Lack, LevelMeter, level_edges
from soundstream.analysis.mel import FLOOR, mel_amplitudes
from soundstream.arrays import Array
from soundstream.runtime.session import Network, State

WINDOWS_S = (512 / 24_000, 1024 / 24_000)
"""Lengths of the windows in which sounds are compared."""
OVERLAP = 3.2
"""Windows of one length that a place in the sound is in, about."""
LOUDNESS = np.float32(0.6)
"""Power of the amplitude that a bin counts by, as loudness follows it (Stevens, 1957): where all bins count alike,
noise that is missing beside a single tone outweighs the tone."""
LEVEL_LOUDNESS = 0.2
"""The same of a band when its level is coded: where all bands count alike, those with noise beside a single tone, which
are far too loud, take the tone down with them."""
OPEN_FRAMES = 6
"""Frames after which a code is decided, where it may come late."""


@dataclass(frozen=True)
class FrameDecoder:
    """The decoder of a causal codec of one channel."""

    network: Network
    sample_rate: int
    hop_length: int
    delay_samples: int
    """Samples by which what it gives lags behind the sound."""
    told: tuple[float, ...] = ()
    """What it is told beside latents, where it is told something."""

    def step(self, state: State, vectors: Array) -> tuple[Array, State]:
        """pcm `[rows, samples]` of signals side by side, of latents and levels `[rows, channels, frames]`."""
        condition = self.network.condition(len(vectors), vectors.shape[2], self.told)
        latents = np.ascontiguousarray(vectors[:, :, None])
        pcm, state = self.network.step(state, latents=latents, **condition)
        return pcm.reshape(len(pcm), -1), state


class ListeningSearch:
    """The codes of signals side by side, each searched as if alone; see the module.

    Args:
        signals: how many.
        survivors: paths of each that are kept from frame to frame (M).
        candidates: codes of a frame that are tried after each of them (K).
        open_frames: frames after which a code is decided; 0 decides each at once.
    """

    def __init__(
        self, decoder: FrameDecoder, signals: int, survivors: int, candidates: int, open_frames: int = OPEN_FRAMES
    ) -> None:
        self._decoder, self._open_frames = decoder, open_frames
        self.signals, self.candidates = signals, candidates
        self._shape, rows = (signals, survivors, candidates), signals * survivors * candidates
        self._state = decoder.network.init_state(rows)
        self._spectra = [_Spectrum(round(length * decoder.sample_rate), decoder) for length in WINDOWS_S]
        length = max(spectrum.reach for spectrum in self._spectra)
        self._sound: Array = np.zeros((signals, length + decoder.delay_samples), np.float32)
        self._heard: Array = np.zeros((rows, length), np.float32)
        """The last of what each row decoded to: all candidates after a survivor, all survivors of a signal."""
        self._costs = np.full((signals, survivors), np.inf)
        self._costs[:, 0] = 0
        self._open = np.zeros((signals, survivors, 0), np.int64)
        """Candidates of each survivor that are not decided, the best survivor first."""

    def push(self, vectors: Array, sound: Array) -> NDArray[np.int64]:
        """Which candidates are decided `[signals, frames]`, of frames before these.

        Args:
            vectors: what the decoder takes, `[signals, candidates, channels, frames]`.
            sound: of the frames `[signals, hop_length, frames]`.
        """
        found = [self._open[:, 0, :0]]
        for frame in range(vectors.shape[3]):
            self._go_on(vectors[..., frame], sound[..., frame])
            if self._open.shape[2] > self._open_frames:
                found.append(self._decided())
        return np.concatenate(found, axis=1)

    def flush(self) -> NDArray[np.int64]:
        """Candidates of the frames that are not decided yet: those of the best survivors, which alone stay."""
        found, self._open = self._open[:, 0], self._open[..., :0]
        self._costs[:, 1:] = np.inf
        return found

    def _go_on(self, vectors: Array, hops: Array) -> None:
        """Decode a frame in all ways, and keep the best ones."""
        (signals, survivors, candidates), channels = self._shape, vectors.shape[2]
        rows = np.broadcast_to(vectors[:, None], (signals, survivors, candidates, channels))
        pcm, self._state = self._decoder.step(self._state, rows.reshape(-1, channels, 1))
        self._heard = np.concatenate([self._heard[:, pcm.shape[1] :], pcm], axis=1)
        self._sound = np.concatenate([self._sound[:, hops.shape[1] :], hops], axis=1)
        totals = (self._costs[..., None] + self._distances()).reshape(signals, -1)
        best = np.argsort(totals, axis=1, kind="stable")[:, :survivors]
        costs = np.take_along_axis(totals, best, axis=1)
        self._costs = costs - costs[:, :1]
        path, candidate = np.divmod(best, candidates)
        self._open = np.concatenate(
            [np.take_along_axis(self._open, path[..., None], axis=1), candidate[..., None]], axis=2
        )
        first = np.arange(signals)[:, None] * survivors * candidates
        going_on = np.repeat(first + best, candidates)
        self._heard = self._heard[going_on]
        self._state.reorder(going_on)

    def _distances(self) -> NDArray[np.float64]:
        """Of the last frame of every row from that of its signal, whose end the decoder gives later."""
        sound = self._sound[:, : self._heard.shape[1]]
        return np.sum([spectrum.distances(self._heard, sound) for spectrum in self._spectra], axis=0).reshape(
            self._shape
        )

    def _decided(self) -> NDArray[np.int64]:
        """The oldest open candidates of the best survivors `[signals, 1]`; survivors that have another one go."""
        found = self._open[:, :1, 0]
        self._costs[self._open[..., 0] != found] = np.inf
        self._open = self._open[..., 1:]
        return found


class _Spectrum:
    """Logarithms of mel amplitudes in windows of one length, which end within the last frame."""

    def __init__(self, window: int, decoder: FrameDecoder) -> None:
        self._window, self._sample_rate = window, decoder.sample_rate
        steps = max(1, round(decoder.hop_length * OVERLAP / window))
        self._ends = [round(decoder.hop_length * step / steps) for step in range(steps)]
        """Samples before the end of the frame, of each window."""
        self.reach = window + max(self._ends)
        """Samples that the windows of a frame cover."""

    def distances(self, rows: Array, sound: Array) -> NDArray[np.float64]:
        """Of rows `[signals * any, samples]` from the signals `[signals, samples]`, mean over the windows."""
        return np.mean([self._distances(rows, sound, end) for end in self._ends], axis=0)

    def _distances(self, rows: Array, sound: Array, end: int) -> NDArray[np.floating]:
        had, wanted = (np.maximum(self._amplitudes(pcm, end), FLOOR) for pcm in (rows, sound))
        weights = wanted**LOUDNESS
        weights /= weights.sum(axis=1, keepdims=True)
        had = had.reshape(len(sound), -1, had.shape[1])
        return (weights[:, None] * np.abs(np.log(had / wanted[:, None]))).sum(axis=2).ravel()

    def _amplitudes(self, rows: Array, end: int) -> Array:
        length = rows.shape[1] - end
        return mel_amplitudes(rows[:, length - self._window : length], self._sample_rate)


class HeardLack:
    """What the sound that codes without any of levels decode to lacks of the levels of the sound that they code.

    Args:
        streams: signals side by side.
    """

    def __init__(self, decoder: FrameDecoder, streams: int) -> None:
        edges = level_edges(decoder.sample_rate, decoder.hop_length)
        about = edges, decoder.sample_rate, decoder.hop_length
        self._meters = [(LevelMeter(*about), LevelMeter(*about), Lack(len(edges) - 1)) for _ in range(streams)]
        self._decoder, self._state = decoder, decoder.network.init_state(streams)
        self._late: Array = np.zeros((streams, decoder.delay_samples), np.float32)
        """The end of the sound, which is decoded with the next frame."""

    def push(self, vectors: Array, sound: Array) -> tuple[Array, Array]:
        """Gains `[streams, bands, frames]` that would make up for it, and how much each of them counts, likewise.

        Args:
            vectors: what the decoder takes, `[streams, channels, frames]`.
            sound: of the frames `[streams, hop_length, frames]`.
        """
        wanted = np.concatenate([self._late, sound.swapaxes(1, 2).reshape(len(sound), -1)], axis=1)
        wanted, self._late = np.split(wanted, [sound.shape[1] * sound.shape[2]], axis=1)
        had = wanted
        if vectors.shape[2]:
            had, self._state = self._decoder.step(self._state, vectors)
        found = [_lacking(*meters, *pair) for meters, *pair in zip(self._meters, wanted, had, strict=True)]
        gains, weights = (np.moveaxis(np.array(part), 1, 2) for part in zip(*found, strict=True))
        return gains, weights


def _lacking(one: LevelMeter, other: LevelMeter, lack: Lack, wanted: Array, had: Array) -> tuple[Array, Array]:
    """Gains `[frames, bands]` of a signal, and how much each of them counts."""
    wanted_db = one.push(wanted)
    gains = lack.push(wanted_db, other.push(had)) / np.float32(UNIT_DB)
    below_db = wanted_db - wanted_db.max(axis=1, keepdims=True)
    return gains, 10 ** (below_db * np.float32(LEVEL_LOUDNESS / 20))
