"""Levels of bands frame by frame, as codes of levels are found by."""

from __future__ import annotations

import math

import numpy as np

from soundstream.arrays import Array

EDGES_HZ = (0, 300, 600, 900, 1200, 1500, 1800, 2150, 2550, 3000, 3500, 4100, 4800, 5600, 6600, 7800, 9300, 12_000)
"""Edges of the bands, to half of 24 kHz; those of higher rates go on a third wider each."""
UNIT_DB = 10.0
"""One unit of a gain."""
RISE_S, FALL_S = 0.02, 1 / 150
"""Halves of the window in which levels are measured; it ends with the frame, so that no frame waits for the next."""
SMOOTHING = 0.5
"""What a gain keeps of that of the frame before: quicker ones make decoded sound rough."""
AUDIBLE_DB = 45.0
"""Levels so far below the highest of their band do not count."""
LOWEST_DB = -40.0
"""Nor do lower ones, whatever the highest is."""
MAX_LACK_DB = 15.0
"""Most that a level may lack."""


def level_edges(sample_rate: int, coefficients: int) -> list[int]:
    """First coefficients of the bands, and their end."""
    edges_hz = [float(edge) for edge in EDGES_HZ]
    while edges_hz[-1] < sample_rate / 2:
        edges_hz.append(4 / 3 * edges_hz[-1])
    places = {min(coefficients, round(2 * coefficients * edge / sample_rate)) for edge in edges_hz}
    return sorted(places | {coefficients})


class LevelMeter:
    """Sound in, levels of bands out, in a window that ends with each frame.

    Args:
        edges: of the bands, the first coefficients of them and their end, of `hop_length` up to half the sample rate.
    """

    def __init__(self, edges: list[int], sample_rate: int, hop_length: int) -> None:
        rise, fall = round(RISE_S * sample_rate), round(FALL_S * sample_rate)
        slopes = [(np.arange(length) + 0.5) / length for length in (rise, fall)]
        self._window = np.concatenate([np.sin(np.pi / 2 * slopes[0]) ** 2, np.cos(np.pi / 2 * slopes[1]) ** 2])
        self._size = 1 << math.ceil(math.log2(len(self._window)))
        edges_hz = (np.array(edges) * (sample_rate / 2 / hop_length)).astype(np.float32)
        hz = np.fft.rfftfreq(self._size, 1 / sample_rate)
        self._members = (hz[:, None] >= edges_hz[:-1]) & (hz[:, None] < edges_hz[1:])
        self._hop_length = hop_length
        self._heard: Array = np.zeros(len(self._window), np.float32)

    def push(self, pcm: Array) -> Array:
        """Levels in dB `[frames, bands]` of the frames of `[samples]` that come next, whole ones."""
        heard, length = np.concatenate([self._heard, pcm]), len(self._window)
        self._heard = heard[len(heard) - length :]
        windows = np.lib.stride_tricks.sliding_window_view(heard, length)[self._hop_length :: self._hop_length]
        powers = np.square(np.abs(np.fft.rfft(windows * self._window, self._size)))
        return (10 * np.log10(powers @ self._members + 1e-6)).astype(np.float32)

    def first(self, pcm: Array, frames: int) -> Array:
        """Those of so many frames of a whole sound `[samples]`, which is silent behind its end."""
        samples = frames * self._hop_length
        return self.push(np.pad(pcm, (0, max(0, samples - len(pcm))))[:samples])


class Lack:
    """By how much levels lack, smoothed, where they can be heard.

    Args:
        highest_db: highest level of each band `[bands]`, if the whole signal is known; or else it is that so far.
    """

    def __init__(self, bands: int, highest_db: Array | None = None) -> None:
        self._highest_db = np.full(bands, -np.inf, np.float32) if highest_db is None else highest_db
        self._last_db: Array = np.zeros(bands, np.float32)

    def push(self, wanted_db: Array, had_db: Array) -> Array:
        """dB that the next frames lack `[frames, bands]`."""
        lacking = np.empty_like(wanted_db)
        for frame, (wanted, had) in enumerate(zip(wanted_db, had_db, strict=True)):
            self._highest_db = np.maximum(self._highest_db, wanted)
            floor = np.maximum(self._highest_db - AUDIBLE_DB, LOWEST_DB)
            lack = np.clip(np.maximum(wanted, floor) - np.maximum(had, floor), -MAX_LACK_DB, MAX_LACK_DB)
            lacking[frame] = self._last_db = SMOOTHING * self._last_db + (1 - SMOOTHING) * lack
        return lacking
