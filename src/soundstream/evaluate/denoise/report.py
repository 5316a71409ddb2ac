"""What the denoise switch does: noisy speech against its clean self with the switch off, half way and on.

Noisy speech is made from a folder with `speech/`, `music/` and `ambient/`: each clip of speech with an ambient clip at
a known level, the same pairs each time. Beside the switch stand the noisy sound itself and third-party noise reduction
before the codec. Clean speech and music show what the switch takes away that it should not, ambient sound what it
leaves.

Source: SoundStream (Zeghidour et al., 2021), Fig. 8 and Table IV.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from soundstream import audio
from soundstream.arrays import Array
from soundstream.codec import Codec
from soundstream.errors import ConfigError
from soundstream.evaluate import clips
from soundstream.evaluate.denoise.denoisers import DENOISERS
from soundstream.evaluate.denoise.switching import switching
from soundstream.evaluate.metrics import measure, select
from soundstream.evaluate.provenance import provenance
from soundstream.evaluate.statistics import Mean, mean_of, paired_difference

EXCERPT_S = 4.9
"""Length that is taken from the beginning of each clip: DNSMOS judges it, played twice, in a single window."""
SNRS_DB = (0, 5, 10, 15)
MAIN_SNR_DB = 5
"""Ratio of speech to noise at which everything is compared; at the others the main rate alone."""
BITRATES = (3000, 6000, 12_000)
MAIN_BITRATE = 6000
SPEECH_METRICS = ("pesq", "stoi", "visqol-speech", "log-mel", "dnsmos")
METRICS = {"music": ("visqol-audio", "log-mel"), "ambient": ()}
"""Metrics by input, where it is no speech."""


class DenoiseItem(NamedTuple):
    """A sound to clean, and what it is compared with."""

    name: str
    clean: Array
    """`[samples]`; the sound itself where nothing is to be removed."""
    heard: Array
    """`[samples]`."""
    sample_rate: int
    """Hz."""


class System(NamedTuple):
    """What a sound goes through: third-party noise reduction, then the codec; or one of them, or neither."""

    name: str
    bitrate: int | None = None
    """Nominal bit/s of the codec; None is without."""
    denoise: float = 0.0
    before: str | None = None

    def __str__(self) -> str:
        return self.name if self.bitrate is None else f"{self.name}:{self.bitrate}"


@dataclass(frozen=True)
class DenoiseRow:
    """One sound through one system."""

    clip: str
    bitrate: float | None
    """Measured bit/s, container included."""
    level_db: float
    """Level of what came out against what was heard."""
    metrics: dict[str, float | None]


@dataclass(frozen=True)
class DenoiseSummary:
    """All sounds of one input through one system."""

    input: str
    """Ratio of speech to noise as `5dB`; `clean` speech, `music` or `ambient`."""
    system: str
    """`noisy` as it is; the switch `off`, `half` or `on`, or another's name, with the nominal bit/s."""
    n: int
    means: dict[str, Mean | None]
    """By metric, and `bitrate` and `level_db`."""
    gains: dict[str, Mean | None]
    """The same less that of the switch off at this rate, clip by clip; empty where there is none."""


def systems(name: str) -> list[System]:
    """What sounds of an input go through."""
    off, on = System("off", MAIN_BITRATE), System("on", MAIN_BITRATE, 1.0)
    if name in ("clean", "music", "ambient"):
        return [off, on]
    learned = System("deep-filter", MAIN_BITRATE, before="deep-filter")
    if name != _snr(MAIN_SNR_DB):
        return [System("noisy"), off, on, learned]
    others = [System("deep-filter", before="deep-filter"), System("spectral-gate", MAIN_BITRATE, 0.0, "spectral-gate")]
    rates = [System(s.name, rate, s.denoise) for rate in BITRATES for s in (off, System("half", 0, 0.5), on)]
    return [System("noisy"), *rates, *others, learned]


def inputs(folder: Path, limit: int) -> dict[str, list[DenoiseItem]]:
    """Sounds by input, at most `limit` of each.

    Raises:
        ConfigError: the folder lacks clips of speech, music or ambient sound.
    """
    found = clips.find(folder, limit)
    sounds = {name: [_excerpt(c) for c in found if c.content_class == name] for name in ("speech", "music", "ambient")}
    if missing := [name for name, items in sounds.items() if not items]:
        raise ConfigError(f"{folder} has no clips in a folder {' and none in '.join(f'{name}/' for name in missing)}")
    speech, noise = sounds.pop("speech"), sounds["ambient"]
    noisy = {_snr(db): [_noisy(item, noise[i % len(noise)], db) for i, item in enumerate(speech)] for db in SNRS_DB}
    return {**noisy, "clean": speech, **sounds}


def run(codec: Codec, folder: Path, limit: int, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Measure everything; the report as plain data.

    Args:
        limit: most clips of a class.
        progress: told how many sounds went through a system, of how many.
    Raises:
        ConfigError: the model has no switch, or the folder lacks a class.
        CodecError: a package of the extra `eval` is not installed.
    """
    codec.spec.check_denoise(1.0)
    found = inputs(folder, limit)
    total, done = sum(len(items) * len(systems(name)) for name, items in found.items()), 0
    summaries: list[DenoiseSummary] = []
    for name, items in found.items():
        rows: dict[System, list[DenoiseRow]] = {}
        for system in systems(name):
            rows[system] = [_row(codec, item, system, METRICS.get(name, SPEECH_METRICS)) for item in items]
            progress(done := done + len(items), total)
        summaries += _summaries(name, rows)
    about = provenance(codec.model_id.hex(), f"{limit} clips of a class of {folder.name}/, {EXCERPT_S} s of each")
    switched = switching(codec, [(item.heard, item.sample_rate) for item in found[_snr(MAIN_SNR_DB)]], MAIN_BITRATE)
    return {**about, "rows": [asdict(summary) for summary in summaries], "switching": asdict(switched)}


def process(codec: Codec, item: DenoiseItem, system: System) -> tuple[Array, int | None]:
    """What comes out `[samples]`, and the bytes of the codec's file."""
    pcm = DENOISERS[system.before](item.heard, item.sample_rate) if system.before else item.heard
    if system.bitrate is None:
        return pcm, None
    data = codec.encode(pcm, item.sample_rate, system.bitrate, denoise=system.denoise)
    return codec.decode(data)[0][0], len(data)


def _row(codec: Codec, item: DenoiseItem, system: System, names: Sequence[str]) -> DenoiseRow:
    decoded, size = process(codec, item, system)
    seconds = len(item.heard) / item.sample_rate
    return DenoiseRow(
        clip=item.name,
        bitrate=None if size is None else 8 * size / seconds,
        level_db=20 * float(np.log10(max(_rms(decoded), 1e-6) / max(_rms(item.heard), 1e-6))),
        metrics={m.name: measure(m, item.clean, decoded, item.sample_rate) for m in select(names)},
    )


def _summaries(name: str, rows: dict[System, list[DenoiseRow]]) -> list[DenoiseSummary]:
    made = []
    for system, own in rows.items():
        off = rows.get(System("off", system.bitrate), []) if system.name != "off" else []
        values, against = _values(own), _values(off)
        means = {key: mean_of([*found.values()]) for key, found in values.items()}
        gains = {key: paired_difference(found, against[key]) for key, found in values.items() if off}
        made.append(DenoiseSummary(name, str(system), len(own), means, gains))
    return made


def _values(rows: Sequence[DenoiseRow]) -> dict[str, dict[str, float]]:
    """By what was measured, the value of each clip that has one."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        for key, value in {"bitrate": row.bitrate, "level_db": row.level_db, **row.metrics}.items():
            found.setdefault(key, {})
            if value is not None:
                found[key][row.clip] = value
    return found


def _excerpt(clip: clips.Clip) -> DenoiseItem:
    pcm, sample_rate = clips.read(clip)
    pcm = pcm[: round(EXCERPT_S * sample_rate)]
    return DenoiseItem(clip.name, pcm, pcm, sample_rate)


def _noisy(item: DenoiseItem, noise: DenoiseItem, snr_db: float) -> DenoiseItem:
    at_rate = audio.resample(noise.clean[None], noise.sample_rate, item.sample_rate)[0]
    clean, noisy = clips.noisy_pair(item.clean, at_rate, snr_db)
    return DenoiseItem(f"{item.name}+{noise.name}", clean, noisy, item.sample_rate)


def _snr(snr_db: float) -> str:
    return f"{snr_db:g}dB"


def _rms(pcm: Array) -> float:
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))
