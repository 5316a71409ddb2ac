"""Two channels together or each by itself, at equal bytes: python -m benchmarks.stereo CLIPS -o stereo.json

Clips of one channel become stereo in four ways: a sound panned by levels; taken by two microphones, 0.6 ms apart; in a
room, whose reverberation is another in each channel; and two sounds in two places. A model of one channel codes them

    left, right     each channel
    middle, side    half the sum and half the difference, with more codebooks for the sum
    rotated         turned by the angle of the largest variance, likewise
    levels          the sum alone, and how the levels of bands differ between the channels, 4 bits each every 96 ms

Side and rest are raised to the level of the first signal before they are coded. With --single and --joint, runs of
stereo-single.toml and stereo-joint.toml in benchmarks/networks, two networks of one size that learned for as many steps
stand there instead: one codes a channel, the other both together. `level_difference_db` is how far the difference of
levels between the channels is off, in bands and over 80 ms, up to 20 dB, where there is sound; `coherence` is the
distance of their complex coherence there, from 0 to 2: what delays and width are heard by.

Source of `levels`: parametric stereo (Breebaart et al., 2005), of which this has the level differences alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.effort import excerpt
from benchmarks.what_limits import EDGES_HZ, sound_of, spectrum
from soundstream.arrays import Array
from soundstream.codec import Codec, load
from soundstream.evaluate import clips
from soundstream.evaluate.metrics import measure, select
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.nn.model import SoundStream
from soundstream.train import checkpoint
from soundstream.train.data.reverberation import room_spectra

Energy = NDArray[np.float64]
Coded = Callable[[Array], tuple[Array, float]]
"""Stereo to what is decoded of it and the bits that its codes take."""

LENGTH_S = 3.0
METRICS = ("visqol-audio", "log-mel")
COUNTS, NARROW_COUNTS = (4, 8), (1, 2, 4)
"""Codebooks of each of two channels, of a model and of networks that learned for minutes; both have twice as many."""
SPLITS = (("middle, side", 3 / 4), ("rotated", 7 / 8))
"""Ways to turn two channels, and the share of all codebooks for the first signal."""
PAN = np.pi / 4 * np.array([0.4, 1.5])
"""Angles of two sounds: 0 is left, a quarter of a circle right."""
APART_S = 0.0006
ROOM_RT60_S, ROOM_DIRECT_DB = 0.4, 3.0
MAX_RAISE = 30.0
"""Most that a second signal is raised by."""
MAX_DIFFERENCE_DB, AUDIBLE_DB = 20.0, 40.0
SLOW_FRAMES, BLOCK_FRAMES = 10, 12
"""Of 8 ms: over which levels are compared, and for which one is sent."""
LEVEL_BITS = 4
FLOOR = 1e-9
"""Energy under which there is silence."""


class System(NamedTuple):
    """One way to code stereo."""

    codec: str
    coding: str
    codebooks: str
    coded: Coded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="base")
    parser.add_argument("--single", type=Path, help="the run of a network of one channel")
    parser.add_argument("--joint", type=Path, help="the run of a network of two channels")
    parser.add_argument("--limit", type=int, default=1, help="most clips of a class")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    codec = load(args.model)
    rate = codec.spec.sample_rate
    sounds = [excerpt(clip, rate)[: round(LENGTH_S * rate)] for clip in clips.find(args.clips, args.limit)]
    made = [scenes(sound, sounds[(i + 1) % len(sounds)], rate) for i, sound in enumerate(sounds)]
    systems = of_networks(args.single, args.joint) if args.joint else of_model(codec, args.model)
    rows = [row for system in systems for row in rows_of(system, made, rate)]
    about = provenance(codec.model_id.hex(), f"{len(sounds)} clips, {LENGTH_S:g} s of each, in four scenes")
    parted: dict[str, list[dict[str, Any]]] = {"rows": [], "scenes": []}
    for row in rows:
        parted["scenes" if "scene" in row else "rows"].append(row)
    write_report(args.output, about | parted)


def scenes(sound: Array, other: Array, rate: int) -> dict[str, Array]:
    """Stereo `[2, samples]` of one or two clips, by what it is."""
    left, right = np.cos(PAN), np.sin(PAN)
    late = np.roll(sound, round(APART_S * rate))
    rng = np.random.default_rng(0)
    rooms = room_spectra(rng, np.full(2, ROOM_RT60_S), np.full(2, ROOM_DIRECT_DB), len(sound), rate)
    wet = np.fft.irfft(np.fft.rfft(sound) * rooms, n=len(sound))
    other = np.resize(other, sound.shape)
    found = {
        "panned": np.stack([left[0] * sound, right[0] * sound]),
        "apart": np.stack([left[0] * sound, right[0] * late]),
        "room": np.stack([left[0] * wet[0], right[0] * wet[1]]),
        "two sounds": np.stack([left[0] * sound + left[1] * other, right[0] * sound + right[1] * other]),
    }
    return {name: (pcm / max(1.0, np.abs(pcm).max())).astype(np.float32) for name, pcm in found.items()}


def of_model(codec: Codec, name: str) -> Iterator[System]:
    """Left and right, middle and side, and rotated, for each rate."""
    for count in COUNTS:
        yield System(name, "left, right", f"{count} + {count}", rotated(codec, count, count, lambda pcm: 0.0))
        for coding, share in SPLITS:
            first, angle = round(2 * count * share), common_angle if coding == "rotated" else halves
            second = 2 * count - first
            yield System(name, coding, f"{first} + {second}", rotated(codec, first, second, angle))
        yield System(name, "levels", str(2 * count - 1), with_levels(codec, 2 * count - 1))


def halves(pcm: Array) -> float:
    """The angle of sum and difference."""
    return np.pi / 4


def common_angle(pcm: Array) -> float:
    """The angle in which two channels have most in common, of the largest variance."""
    left, right = pcm.astype(np.float64)
    return float(np.arctan2(2 * left @ right, left @ left - right @ right) / 2)


def rotated(codec: Codec, first: int, second: int, angle: Callable[[Array], float]) -> Coded:
    """Two channels turned by an angle, each of the two signals coded with so many codebooks."""

    def coded(pcm: Array) -> tuple[Array, float]:
        turn = angle(pcm)
        matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]], np.float32)
        signals = matrix @ pcm
        one, other = np.sqrt(np.square(signals).mean(axis=1) + 1e-12)
        raised = np.array([1.0, np.clip(one / other, 1, MAX_RAISE) if turn else 1.0], np.float32)
        counts = zip(signals * raised[:, None], (first, second), strict=True)
        found = [one_channel(codec, signal, count) for signal, count in counts]
        decoded = np.stack([sound for sound, _ in found]) / raised[:, None]
        return matrix.T @ decoded, sum(bits for _, bits in found)

    return coded


def with_levels(codec: Codec, count: int) -> Coded:
    """The sum of two channels and, of bands, the difference of their levels."""

    def coded(pcm: Array) -> tuple[Array, float]:
        rate, step_db = codec.spec.sample_rate, 2 * MAX_DIFFERENCE_DB / (2**LEVEL_BITS - 1)
        middle, bits = one_channel(codec, pcm.mean(axis=0), count)
        blocks = [np.add.reduceat(one, np.arange(0, len(one), BLOCK_FRAMES)) for one in products(pcm, rate)[:2]]
        sent = np.round(difference_db(*blocks) / step_db - 0.5) + 0.5
        spread = spectrum(middle, rate)
        places = (np.arange(len(spread)) - (BLOCK_FRAMES - 1) / 2) / BLOCK_FRAMES
        ratio = 10 ** (np.stack([np.interp(places, range(len(sent)), band * step_db / 10) for band in sent.T], 1))
        alike = 2 * np.sqrt(ratio) / (1 + ratio)  # what the sum of two channels alike has more than that of others
        gains = [np.sqrt(4 * part / (1 + alike)) for part in (ratio / (1 + ratio), 1 / (1 + ratio))]
        widths = np.diff(band_edges(rate, spread.shape[1]))
        sides = [sound_of(spread * np.repeat(gain, widths, axis=1), pcm.shape[1], rate) for gain in gains]
        return np.stack(sides), bits + LEVEL_BITS * sent.size

    return coded


def one_channel(codec: Codec, sound: Array, count: int) -> tuple[Array, float]:
    """What is decoded, and the size of the file in bits."""
    spec, peak = codec.spec, max(1.0, float(np.abs(sound).max()))
    data = codec.encode(sound / peak, spec.sample_rate, spec.bitrate(count))
    return codec.decode(data)[0][0] * peak, 8.0 * len(data)


def of_networks(single: Path, joint: Path) -> Iterator[System]:
    """Two networks of one size, of which one codes each channel by itself."""
    alone, together = (checkpoint.load_model(run / "checkpoint").eval() for run in (single, joint))
    steps = checkpoint.load(joint / "checkpoint").step
    for count in NARROW_COUNTS:
        name = f"narrow network, {steps:,} steps"
        yield System(name, "left, right", f"{count} + {count}", by_network(alone, count))
        yield System(name, "jointly", str(2 * count), by_network(together, 2 * count))


def by_network(model: SoundStream, count: int) -> Coded:
    """Stereo through a network in PyTorch, as one example of two channels or two of one."""
    bits = model.config.codebook_size.bit_length() - 1

    def coded(pcm: Array) -> tuple[Array, float]:
        hop = model.config.hop_length
        whole = np.pad(pcm, ((0, 0), (0, -pcm.shape[1] % hop))).astype(np.float32)
        audio = torch.from_numpy(whole).view(-1, model.config.audio_channels, whole.shape[1])
        found = model(audio, torch.full((len(audio),), count)).audio.flatten(0, 1).numpy()
        return found[:, : pcm.shape[1]], float(bits * count * len(audio) * (audio.shape[2] // hop))

    return coded


def rows_of(system: System, made: Sequence[dict[str, Array]], rate: int) -> Iterator[dict[str, Any]]:
    """A row for each kind of scene, and one of all, which names none."""
    found: dict[str, list[dict[str, float | None]]] = {}
    for sounds in made:
        for kind, pcm in sounds.items():
            decoded, bits = system.coded(pcm)
            found.setdefault(kind, []).append(figures(pcm, decoded, rate) | {"bit/s": bits * rate / pcm.shape[1]})
    about = {"codec": system.codec, "coding": system.coding, "codebooks": system.codebooks}
    for kind, values in found.items():
        yield about | {"scene": kind} | means(values)
    yield about | means([value for one in found.values() for value in one])


def figures(pcm: Array, decoded: Array, rate: int) -> dict[str, float | None]:
    """Means over the channels, and what is between them."""
    found: dict[str, float | None] = {}
    for metric in select(METRICS):
        values = [measure(metric, *channel, rate) for channel in zip(pcm, decoded, strict=True)]
        known = [value for value in values if value is not None]
        found[metric.name] = float(np.mean(known)) if known else None
    return found | between(pcm, decoded, rate)


def between(pcm: Array, decoded: Array, rate: int) -> dict[str, float | None]:
    """How far the difference of the channels' levels and their coherence are off; None of silence."""
    (*levels, cross), (*others, other_cross) = (map(slow, products(sound, rate)) for sound in (pcm, decoded))
    energy = levels[0] + levels[1]
    there = (energy > energy.max(axis=0) * 10 ** (-AUDIBLE_DB / 10)) & (energy > FLOOR)
    level = np.abs(difference_db(*levels) - difference_db(*others))
    apart = np.abs(coherence(cross, *levels) - coherence(other_cross, *others))
    found = {"level_difference_db": level, "coherence": apart}
    return {name: float(cells[there].mean()) if there.any() else None for name, cells in found.items()}


def products(pcm: Array, rate: int) -> list[NDArray]:
    """Energies of both channels and their product `[frames, bands]`."""
    left, right = (spectrum(channel, rate) for channel in pcm)
    parts = (np.square(np.abs(left)), np.square(np.abs(right)), left * right.conj())
    return [np.add.reduceat(one, band_edges(rate, left.shape[1])[:-1], axis=1) for one in parts]


def slow(bands: NDArray) -> NDArray:
    """Sums over some frames."""
    return np.stack([np.convolve(band, np.ones(SLOW_FRAMES), "valid") for band in bands.T], axis=1)


def coherence(cross: NDArray, left: Energy, right: Energy) -> NDArray:
    """1 of channels alike but for their level, 0 of any others."""
    return cross / np.sqrt((left + FLOOR) * (right + FLOOR))


def band_edges(rate: int, bins: int) -> NDArray[np.int64]:
    """First bins of the bands, and the number of bins."""
    edges = np.round(np.array(EDGES_HZ[:-1]) * 2 * (bins - 1) / rate).astype(np.int64)
    return np.append(edges, bins)


def difference_db(left: Energy, right: Energy) -> Energy:
    """By how much the left channel is louder, in bands."""
    return (10 * np.log10((left + FLOOR) / (right + FLOOR))).clip(-MAX_DIFFERENCE_DB, MAX_DIFFERENCE_DB)


def means(values: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Of each figure, over the scenes that have it."""
    found = {name: [number for value in values if (number := value[name]) is not None] for name in values[0]}
    return {name: round(float(np.mean(numbers)), 3) if numbers else None for name, numbers in found.items()}


if __name__ == "__main__":
    main()
