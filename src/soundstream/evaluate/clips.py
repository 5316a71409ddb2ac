"""The clips that an evaluation codes: which there are, of what content, and their mono audio."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundstream import audio
from soundstream.arrays import Array
from soundstream.errors import AudioError, ConfigError


@dataclass(frozen=True)
class Clip:
    """One piece of audio to code."""

    name: str
    """Path below the clip folder, without the suffix; `speech/a+ambient/b` for a mixture."""
    content_class: str
    """speech, noisy-speech, music, ambient, or whatever the clip's first folder is called."""
    path: Path
    noise: Path | None = None
    """Mixed in below the clip, repeated or cut to its length."""
    snr_db: float = 0
    """How far below, over the whole clip."""


def find(folder: Path, limit: int | None = None) -> list[Clip]:
    """Clips of a folder tree, ordered by name; the class is the first folder's name.

    Args:
        limit: most clips of a class, spread evenly over its names.
    Raises:
        ConfigError: the folder holds no audio file.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio.SUFFIXES and path.is_file())
    if not paths:
        raise ConfigError(f"{folder} holds no audio file; expected {', '.join(sorted(audio.SUFFIXES))}")
    clips = [_clip(path, folder) for path in paths]
    classes = dict.fromkeys(clip.content_class for clip in clips)
    return [clip for name in classes for clip in _spread([c for c in clips if c.content_class == name], limit)]


def mix(clips: Sequence[Clip], snr_db: float) -> list[Clip]:
    """A noisy-speech clip for each clip of speech: the ambient clips take turns as the noise.

    Raises:
        ConfigError: there is no clip of class speech or none of class ambient.
    """
    speech, noise = ([clip for clip in clips if clip.content_class == name] for name in ("speech", "ambient"))
    if not speech or not noise:
        raise ConfigError("mixing noise needs clips in a folder speech/ and in a folder ambient/")
    pairs = [(clip, noise[i % len(noise)]) for i, clip in enumerate(speech)]
    return [Clip(f"{a.name}+{b.name}", "noisy-speech", a.path, b.path, snr_db) for a, b in pairs]


def read(clip: Clip) -> tuple[Array, int]:
    """Mono audio `[samples]` and its sample rate in Hz; several channels are averaged.

    Raises:
        AudioError: the file cannot be read or is empty.
    """
    pcm, sample_rate = _read_mono(clip.path)
    if clip.noise is None:
        return pcm, sample_rate
    noise, noise_rate = _read_mono(clip.noise)
    noise = audio.resample(noise[None], noise_rate, sample_rate)[0]
    return noisy_pair(pcm, noise, clip.snr_db)[1], sample_rate


def noisy_pair(pcm: Array, noise: Array, snr_db: float) -> tuple[Array, Array]:
    """Sound alone and with noise, repeated or cut to the length and scaled; both quieter where that would clip."""
    noise = np.resize(noise, pcm.shape)
    power, noise_power = (float(np.mean(np.square(x, dtype=np.float64))) for x in (pcm, noise))
    gain = np.sqrt(power / max(noise_power, 1e-12) / 10 ** (snr_db / 10))
    mixed = pcm + gain * noise
    scale = 1 / max(1.0, float(np.abs(mixed).max()))
    return np.asarray(scale * pcm, np.float32), np.asarray(scale * mixed, np.float32)


def content_hash(pcm: Array, sample_rate: int) -> str:
    """Names audio by what it is: 16 hexadecimal digits."""
    return hashlib.sha256(f"{sample_rate}:".encode() + pcm.tobytes()).hexdigest()[:16]


def _clip(path: Path, folder: Path) -> Clip:
    below = path.relative_to(folder)
    content_class = below.parts[0] if len(below.parts) > 1 else folder.resolve().name
    return Clip(below.with_suffix("").as_posix(), content_class, path)


def _spread(clips: list[Clip], limit: int | None) -> list[Clip]:
    count = min(limit or len(clips), len(clips))
    return [clips[i * len(clips) // count] for i in range(count)]


def _read_mono(path: Path) -> tuple[Array, int]:
    pcm, sample_rate = audio.read(path)
    if not pcm.shape[1]:
        raise AudioError(f"{path} holds no sample")
    return pcm.mean(0), sample_rate
