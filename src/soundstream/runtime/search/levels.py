"""Codes of levels: what a decoder lacks in bands, found frame by frame; `nn.levels` says what they are.

Each code adds an entry to the decayed sum of those before it, so that what is chosen now decides what can be said next.
A live session takes the entry that is nearest now. Where codes may come late, several paths are kept through a few
frames, and gains are taken from a frame later: the windows in which they are measured end with the frame, so that they
tell of a sound that is half over. Format and decoder are the same.

Source: ours. Related: delayed-decision coding by the M-algorithm (Anderson and Mohan, 1984).
"""

from __future__ import annotations

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.runtime.session import Network

PATHS, MAX_PATHS = 4, 64
"""Paths of this search for each path of the search for the codes of latents, where codes may come late; the most."""
LATE_FRAMES = 1
"""Frames later from which gains are taken there."""
DECIDED_FRAMES = 12
"""Frames after which an entry is decided there: 1 % of it is left."""


def late_paths(effort: int) -> int:
    """Paths of codes that may come late, for those that the search for codes of latents keeps."""
    return min(MAX_PATHS, PATHS * effort) if effort > 1 else 1


class LevelCoder:
    """The codes of gains of signals side by side.

    Args:
        memory: share of a sum that is left a frame later.
        codebook: entries `[codebook_size, bands]`.
        network: latents and quantized ones to gains.
        streams: signals.
        paths: 1 gives each frame its code at once; more give it `LATE_FRAMES + DECIDED_FRAMES` later.
    """

    def __init__(self, memory: float, codebook: Array, network: Network, streams: int, paths: int = 1) -> None:
        self._network, self._state = network, network.init_state(streams)
        self._late = LATE_FRAMES if paths > 1 else 0
        self._gains = np.zeros((streams, codebook.shape[1], 0), np.float32)
        self._weights: Array | None = None
        self._skip = self._late
        self._searches = [LevelSearch(codebook, memory, paths) for _ in range(streams)]

    def push(self, latents: Array, quantized: Array) -> Codes:
        """Codes `[streams, frames]`, of the frames that come next.

        Args:
            latents: `[streams, latent_dim, frames]`, the levels of the sound behind them.
            quantized: likewise, without levels.
        """
        inputs = {"latents": latents, "quantized": quantized}
        inputs = {name: np.ascontiguousarray(value[:, :, None]) for name, value in inputs.items()}
        gains, self._state = self._network.step(self._state, **inputs)
        return self.follow(gains[:, :, 0])

    def flush(self) -> Codes:
        """Codes `[streams, frames]` of the frames that lack one; the last gains are taken to last."""
        again = self._late - self._skip
        weights = None if self._weights is None else np.repeat(self._weights, again, axis=2)
        late = self.follow(np.repeat(self._gains, again, axis=2), weights)
        self._skip = self._late
        return np.concatenate([late, np.array([search.flush() for search in self._searches], np.int64)], axis=1)

    def pause(self, frames: int) -> None:
        """So many frames have no codes of levels: what was said before them fades."""
        for search in self._searches:
            search.fade(frames)

    def follow(self, gains: Array, weights: Array | None = None) -> Codes:
        """Codes `[streams, frames]` that gains `[streams, bands, frames]` decide, of whatever found them.

        Args:
            weights: how much each of them counts, likewise; None is all alike.
        """
        if gains.shape[2]:
            self._gains, self._weights = gains[:, :, -1:], weights if weights is None else weights[:, :, -1:]
        first, self._skip = self._skip, max(0, self._skip - gains.shape[2])
        parts = [np.moveaxis(one[:, :, first:], 2, 1) for one in (gains, weights) if one is not None]
        return np.array([one.push(*rows) for one, *rows in zip(self._searches, *parts, strict=True)], np.int64)


class LevelSearch:
    """The entries of one signal whose decayed sum follows gains, with the least squared error of all paths kept.

    Args:
        codebook: entries `[codebook_size, bands]`.
        memory: share of a sum that is left a frame later.
        paths: kept from frame to frame; a single one takes the nearest entry at once.
    """

    def __init__(self, codebook: Array, memory: float, paths: int) -> None:
        self._codebook, self._memory, self._paths = codebook, np.float32(memory), paths
        self._half_squares = 0.5 * np.square(codebook)
        self._half_norms = self._half_squares.sum(axis=1)
        self._products = np.concatenate([-codebook.T, np.ones((1, len(codebook)), np.float32)])
        self._frames = DECIDED_FRAMES if paths > 1 else 0
        self._sums = np.zeros((1, codebook.shape[1]), np.float32)
        self._costs = np.zeros(1, np.float32)
        self._open = np.zeros((1, 0), np.int64)
        """Entries of each path that are not decided, the best path first."""

    def push(self, gains: Array, weights: Array | None = None) -> list[int]:
        """The codes that gains `[frames, bands]` decide, with a weight of each."""
        found = []
        for frame, wanted in enumerate(gains):
            self._go_on(wanted, None if weights is None else weights[frame])
            if self._open.shape[1] > self._frames:
                found.append(self._decided())
        return found

    def flush(self) -> list[int]:
        """The codes that are not decided yet: those of the best path, which alone stays."""
        found = self._open[0].tolist()
        self._sums, self._costs, self._open = self._sums[:1], self._costs[:1], np.zeros((1, 0), np.int64)
        return found

    def fade(self, frames: int) -> None:
        """Frames pass without an entry."""
        self._sums = self._sums * self._memory**frames

    def _go_on(self, wanted: Array, weights: Array | None) -> None:
        """Keep the best of all ways to go on by an entry; costs count from that of the best path."""
        left = self._memory * self._sums
        missing = wanted - left
        weighed = missing if weights is None else weights * missing
        costs = self._costs + 0.5 * (weighed * missing).sum(axis=1)
        totals = np.column_stack([weighed, costs - costs[0]]) @ self._products
        totals += self._half_norms if weights is None else self._half_squares @ weights
        path, entry, self._costs = _lowest(totals, self._paths)
        self._sums = left[path] + self._codebook[entry]
        self._costs -= self._costs[0]
        self._open = np.concatenate([self._open[path], entry[:, None]], axis=1)

    def _decided(self) -> int:
        """The oldest open entry of the best path; paths that have another one go."""
        code = int(self._open[0, 0])
        same = self._open[:, 0] == code
        self._sums, self._costs, self._open = self._sums[same], self._costs[same], self._open[same, 1:]
        return code


def _lowest(totals: Array, count: int) -> tuple[Codes, Codes, Array]:
    """Rows, columns and values of the lowest, in rising order; the first of equals comes first."""
    count = min(count, totals.size)
    least = totals.min(axis=0) if count <= totals.shape[1] else totals.ravel()  # so many are not above theirs
    places = np.flatnonzero(totals <= np.partition(least, count - 1)[count - 1])
    values = totals.ravel()[places]
    order = np.argsort(values, kind="stable")[:count]
    return *np.divmod(places[order], totals.shape[1]), values[order]
