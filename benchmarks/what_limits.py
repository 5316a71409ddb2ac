"""What keeps decoded speech from sounding better: python -m benchmarks.what_limits CLIPS -o docs/results/limits.json

Decoded speech is mended with the help of the original, one thing at a time, and judged again: levels of bands are set
right, or bands are replaced by the original's. What gains most is what limits. Beside it stands by how much the levels
of bands are wrong: their mean, and their spread in cells of 8 ms and in means over 67 ms.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.effort import first_of
from soundstream.arrays import Array
from soundstream.codec import load
from soundstream.evaluate.metrics import measure, select
from soundstream.evaluate.provenance import provenance, write_report

Spectrum = NDArray[np.complex128]
"""`[frames, bins]`."""
Mend = Callable[[Spectrum, Spectrum], Spectrum]
"""The decoded spectrum, mended with the original's."""

BITRATES = (6000, 18_000)
METRICS = ("visqol-speech", "pesq", "stoi")
WINDOW_S, HOP_S = 0.032, 0.008
EDGES_HZ = (0, 300, 600, 900, 1200, 1500, 1800, 2150, 2550, 3000, 3500, 4100, 4800, 5600, 6600, 7800, 9300, 12_000)
SLOW_FRAMES = (5, 8)
"""Frames of the means over 40 and 67 ms."""
AUDIBLE_DB = 35
"""Cells so far below the loudest of their band do not count."""
FLOOR = 1e-10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="a folder with speech/")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, default=8, help="most clips")
    args = parser.parse_args()
    codec = load(args.model)
    sounds = first_of(args.clips, "speech", args.limit, codec.spec.sample_rate)
    about = provenance(codec.model_id.hex(), f"{len(sounds)} clips of speech, 6 s of each")
    rows, levels = [], []
    for bitrate in BITRATES:
        pairs = [(sound, codec.decode(codec.encode(sound, codec.spec.sample_rate, bitrate))[0][0]) for sound in sounds]
        rows += [{"bitrate": bitrate} | row for row in mended_rows(codec.spec.sample_rate, pairs)]
        levels += [{"bitrate": bitrate} | row for row in level_rows(codec.spec.sample_rate, pairs)]
    write_report(args.output, about | {"rows": rows, "levels": levels})


def mends(sample_rate: int) -> dict[str, Mend]:
    """What is put right, by name."""
    bands = _bands(sample_rate)
    low = [band for band, high in zip(bands, EDGES_HZ[1:], strict=True) if high <= 1500]
    replaced = {"0-600 Hz": (0, 600), "600-1500 Hz": (600, 1500), "1.5-4 kHz": (1500, 4100), "4-12 kHz": (4100, 12_000)}
    return {
        "nothing": lambda decoded, original: decoded,
        "levels": lambda decoded, original: levelled(decoded, original, bands),
        "levels over 40 ms": lambda decoded, original: levelled(decoded, original, bands, SLOW_FRAMES[0]),
        "levels above 1.5 kHz": lambda decoded, original: levelled(decoded, original, bands[len(low) :]),
        "levels below 1.5 kHz": lambda decoded, original: levelled(decoded, original, low),
        **{name: _replacing(_bins(*ends, sample_rate)) for name, ends in replaced.items()},
    }


def mended_rows(sample_rate: int, pairs: Sequence[tuple[Array, Array]]) -> list[dict[str, Any]]:
    """Means of the metrics for each mend of pairs of original and decoded sound."""
    rate, rows = sample_rate, []
    for name, mend in mends(rate).items():
        values = []
        for original, decoded in pairs:
            mended = sound_of(mend(spectrum(decoded, rate), spectrum(original, rate)), len(decoded), rate)
            found = [measure(metric, original, mended, rate) for metric in select(METRICS)]
            values.append([np.nan if value is None else value for value in found])
        means = np.nanmean(np.array(values), axis=0)
        rows.append({"mended": name} | {key: round(float(mean), 3) for key, mean in zip(METRICS, means, strict=True)})
    return rows


def level_rows(sample_rate: int, pairs: Sequence[tuple[Array, Array]]) -> list[dict[str, Any]]:
    """For each band, by how many dB decoded levels are too low in the mean, and their spread around that."""
    rate, bands = sample_rate, _bands(sample_rate)
    errors, slow = [], []
    for original, decoded in pairs:
        wanted, had = (levels_db(spectrum(pcm, rate), bands) for pcm in (original, decoded))
        heard = wanted > wanted.max(axis=0) - AUDIBLE_DB
        errors.append(np.where(heard, wanted - had, np.nan))
        slow.append(np.where(heard, smoothed(wanted - had, SLOW_FRAMES[1]), np.nan))
    every, means = np.concatenate(errors), np.concatenate(slow)
    figures = np.nanmean(every, axis=0), np.nanstd(every, axis=0), np.nanstd(means, axis=0)
    names = "too_low_db", "spread_db", "spread_67_ms_db"
    return [
        {"from_hz": low, "to_hz": high}
        | {name: round(float(part[i]), 2) for name, part in zip(names, figures, strict=True)}
        for i, (low, high) in enumerate(itertools.pairwise(EDGES_HZ))
    ]


def levelled(decoded: Spectrum, original: Spectrum, bands: Sequence[slice], frames: int = 1) -> Spectrum:
    """Each band at the level of the original's, by gains that are means over so many frames."""
    mended = decoded.copy()
    gains_db = smoothed(levels_db(original, bands) - levels_db(decoded, bands), frames)
    for band, gain_db in zip(bands, gains_db.T, strict=True):
        mended[:, band] *= 10 ** (gain_db[:, None] / 20)
    return mended


def _replacing(bins: slice) -> Mend:
    def replaced(decoded: Spectrum, original: Spectrum) -> Spectrum:
        mended = decoded.copy()
        mended[:, bins] = original[:, bins]
        return mended

    return replaced


def levels_db(cells: Spectrum, bands: Sequence[slice]) -> NDArray[np.float64]:
    """Levels `[frames, bands]`."""
    return np.stack([10 * np.log10(np.square(np.abs(cells[:, band])).sum(axis=1) + FLOOR) for band in bands], axis=1)


def smoothed(values: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Means over so many frames around each."""
    kernel = np.ones(frames) / frames
    return np.stack([np.convolve(column, kernel, "same") for column in values.T], axis=1)


def spectrum(pcm: Array, sample_rate: int) -> Spectrum:
    """Frames of a sine window with a hop of a quarter of it."""
    window, hop = _shape(sample_rate)
    padded = np.pad(pcm.astype(np.float64), (len(window), 2 * len(window)))
    return np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, len(window))[::hop] * window)


def sound_of(cells: Spectrum, samples: int, sample_rate: int) -> Array:
    """The way back: overlap and add."""
    window, hop = _shape(sample_rate)
    pcm = np.zeros(len(cells) * hop + len(window))
    for i, frame in enumerate(np.fft.irfft(cells, len(window)) * window / 2):
        pcm[i * hop : i * hop + len(window)] += frame
    return pcm[len(window) :][:samples].astype(np.float32)


def _shape(sample_rate: int) -> tuple[NDArray[np.float64], int]:
    length = round(WINDOW_S * sample_rate)
    return np.sin(np.pi * (np.arange(length) + 0.5) / length), round(HOP_S * sample_rate)


def _bins(low_hz: float, high_hz: float, sample_rate: int) -> slice:
    length = round(WINDOW_S * sample_rate)
    last = length // 2 + 1 if high_hz >= sample_rate / 2 else round(high_hz * length / sample_rate)
    return slice(round(low_hz * length / sample_rate), last)


def _bands(sample_rate: int) -> list[slice]:
    return [_bins(low, high, sample_rate) for low, high in itertools.pairwise(EDGES_HZ)]


if __name__ == "__main__":
    main()
