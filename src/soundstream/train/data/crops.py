"""Training batches: random crops of the corpus, their gain, mixtures, noise and the denoise switch."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Complex, Float, Inexact, Int
from numpy.typing import NDArray
from torch import Tensor

from soundstream.errors import AudioError, ConfigError
from soundstream.nn.config import FamilyConfig
from soundstream.train.data.corpus import Corpus
from soundstream.train.data.made_noise import made_noise
from soundstream.train.data.made_tones import made_tones
from soundstream.train.data.placement import Placement, condition
from soundstream.train.data.reverberation import room_spectra

PEAK = 0.99
"""Crops are turned down, whatever their gain, until the peaks of input and target are at most this."""
SPEECH, NOISE = "speech", "ambient"
"""Categories that noise is added to, and that it is taken from."""
MAX_NOISES = 3
"""Noises that a crop may have at once."""
ROOMS = 128
"""Rooms that a run has; each crop in a room is in one of them."""
_FULL_SCALE = 32768
_SILENCE = 1e-3  # RMS that a quieter sound is taken to have when another is added
_LISTEN_EVERY = 8
_BAND_LIMIT_ORDER = 8


@dataclass(frozen=True)
class DataConfig:
    """What a batch is drawn from, and how. A probability of 0 costs nothing.

    Source: gains, mixtures of two and the denoise pairs follow EnCodec (Défossez et al., 2022), appendix A, and
    SoundStream (Zeghidour et al., 2021), section III-F. Differs: mixtures are of two sounds at most; several noises at
    once and rooms are ours.
    """

    batch_size: int = 8
    """Crops per step, over all processes."""
    crop_frames: int = 38
    """Length of a crop in frames."""
    category_weights: dict[str, float] = field(default_factory=lambda: {"speech": 0.55, "music": 0.25, "ambient": 0.2})
    """Share of crops from each category of the data, in proportion; categories not named here weigh 1."""
    source_weights: dict[str, float] = field(default_factory=dict)
    """Factor on the share of single sources of a category; sources not named here weigh 1."""
    source_duration_exponent: float = 0.0
    """A source's share of its category grows with its seconds to this power: 0 makes all alike, 1 follows hours."""
    quiet_db: float = -60.0
    """Where a crop's RMS is below this (dB of full scale), another place of its clip is drawn, once; -inf for never."""
    gain_db: tuple[float, float] = (-12.0, 6.0)
    """Range of the random gain; crops are kept below full scale."""
    tone_probability: float = 0.0
    """Share of crops that are tones made by chance instead, without noise."""
    noise_probability: float = 0.0
    """Share of speech crops that have ambient noise added."""
    noise_snr_db: tuple[float, float] = (-5.0, 20.0)
    """Range of the ratio of speech to noise, all noises together."""
    noises: int = 1
    """Most noises at once, up to 3; 1 to so many come equally often."""
    noise_gain_db: tuple[float, float] = (-12.0, 0.0)
    """Range of the gain of each of several noises, which decides how they share the noise's level."""
    made_noise_probability: float = 0.0
    """Share of these noises that are made by chance instead: hiss, gusts, hum, crackle."""
    babble_probability: float = 0.0
    """Share of noisy crops whose noises are other speech, as many as there may be."""
    room_probability: float = 0.0
    """Share of sounds of noisy crops that stand in a room: the speech, in input and target alike, and each noise."""
    room_rt60_s: tuple[float, float] = (0.1, 0.6)
    """Range of the time in which a room's reverberation falls by 60 dB."""
    room_direct_db: tuple[float, float] = (-3.0, 15.0)
    """Range of the ratio of direct sound to reverberation."""
    denoise_probability: float = 0.0
    """Share of crops with the denoise switch on: noisy speech has its clean self as target, all else stays as it is."""
    mix_probability: float = 0.0
    """Share of crops without noise that are mixed with a crop of any category."""
    mix_level_db: tuple[float, float] = (-10.0, 10.0)
    """Range of the ratio of the first to the second sound of a mixture."""
    band_limit_probability: float = 0.0
    """Share of crops that pass a low-pass, input and target alike."""
    band_limit_hz: tuple[float, float] = (3000.0, 10_000.0)
    """Range of its cutoff frequency."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "crop_frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name in (f.name for f in dataclasses.fields(self) if f.name.endswith("_probability")):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 to 1")
        for name in (f.name for f in dataclasses.fields(self) if f.type == "tuple[float, float]"):
            _check_interval(name, getattr(self, name))
        if not 1 <= self.noises <= MAX_NOISES:
            raise ConfigError(f"noises is {self.noises}; expected 1 to {MAX_NOISES}")
        if self.room_rt60_s[0] <= 0:
            raise ConfigError(f"room_rt60_s is {self.room_rt60_s}; expected more than 0 s")
        for name in ("category_weights", "source_weights"):
            for key, weight in getattr(self, name).items():
                if not 0 <= weight < math.inf:
                    raise ConfigError(f"{name} gives {key} {weight}; expected 0 or more")


def _check_interval(name: str, interval: tuple[float, float]) -> None:
    if len(interval) != 2 or not interval[0] <= interval[1]:
        raise ConfigError(f"{name} is {interval}; expected two numbers, the lower first")


class Batch(NamedTuple):
    """What a step trains on."""

    audio: Float[Tensor, "batch channels samples"]
    """Input, within [-1, 1]."""
    target: Float[Tensor, "batch channels samples"]
    """What the decoder shall give; the input itself unless noise is to be removed, or fewer channels are decoded."""
    condition: Float[Tensor, "batch condition frames"]
    """One-hot: plain, denoise; or the layout that is decoded."""


class _Plan(NamedTuple):
    """All that chance decides of a batch, drawn on the CPU: one row a crop."""

    clips: NDArray[np.int64]
    """`[batch, voices]`, the second voice being a noise or the other sound of a mixture, later ones noises."""
    places: NDArray[np.float64]
    """`[batch, voices, 2]`, in [0, 1): where in the clip, and where instead if it is quiet there."""
    added: NDArray[np.float64]
    """`[batch, voices - 1]`, RMS of the added voices over that of the first; 0 where there is none."""
    made: NDArray[np.bool_]
    """`[batch, voices]`, whether a noise made by chance is in the clip's place."""
    tones: NDArray[np.bool_]
    """`[batch]`, whether tones are in the place of the first voice."""
    rooms: NDArray[np.int64]
    """`[batch, voices]`, which room; 0 is none."""
    kept: NDArray[np.bool_]
    """`[batch]`, whether the target has the added voices too."""
    denoise: NDArray[np.bool_]
    gain_db: NDArray[np.float64]
    cutoff_hz: NDArray[np.float64]
    """`[batch]`, infinite if there is no low-pass."""


class Crops:
    """Random crops: a category by its weight, a source of it, a second of that source; gain, mixtures, noise.

    Which tuples come (input, target, switch), by `noise_probability` and `denoise_probability`:

        noisy speech, the same speech without noise, denoise
        noisy speech, the same, plain
        clean speech, music and all else but ambient sound, the same, plain or denoise
        ambient sound, the same, plain
        mixtures, the same, plain

    So with the switch on music passes unchanged; what becomes of ambient sound alone is left open, for a target far
    below its input spoils losses that are relative to the target. Rooms are no noise: speech in a room keeps its
    reverberation.

    Args:
        seed: start of every random draw.
        device: where the corpus is kept and batches are made; on a CPU it stays mapped from its cache.
    Raises:
        ConfigError: every category of the data weighs 0, or the model has no denoise switch to train.
        AudioError: noise is asked for, and there is no ambient sound or no speech.
    """

    def __init__(
        self,
        corpus: Corpus,
        data: DataConfig,
        codec: FamilyConfig,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        _check_possible(corpus, data, codec)
        self.data, self.codec, self.seed, self.device = data, codec, seed, torch.device(device)
        self.length = data.crop_frames * codec.hop_length
        self.voices = 1 + max(data.noises if data.noise_probability else 0, 1 if data.mix_probability else 0)
        self.starts = np.array([clip.start for clip in corpus.clips])
        self.samples = np.array([clip.samples for clip in corpus.clips])
        self.has_short_clips = bool((self.samples < self.length).any())
        self.categories = np.array([clip.category for clip in corpus.clips])
        shares = _shares_in_category(corpus, data)
        self.chances = np.cumsum(clip_shares(corpus, data))
        self.noise_chances = np.cumsum(shares * (self.categories == NOISE))
        self.speech_chances = np.cumsum(shares * (self.categories == SPEECH))
        self.pcm = _keep(corpus.pcm, int(self.starts[-1]) + self.length, self.device)
        self.rooms = self._rooms() if data.room_probability else None
        self.placement = Placement(codec, data.batch_size, self.device) if codec.audio_channels > 1 else None

    def draw(self, step: int) -> Batch:
        """The whole batch of a step: the same for the same step and seed, on any machine."""
        rng = np.random.default_rng([self.seed, step])
        plan = self._plan(rng)
        audio, target = self._join(self._filter(self._voices(plan, rng), plan), plan)
        audio, target, told = audio[:, None], target[:, None], self._condition(plan.denoise)
        if self.placement:
            audio, target = self.placement.scenes(audio[:, 0], rng)
            told = condition(self.codec, self.placement.slots, self.data.crop_frames).to(self.device)
        gain = self._tensor(10 ** (plan.gain_db / 20))[:, None, None]
        gain = torch.minimum(gain, PEAK / torch.maximum(_peak(audio), _peak(target)).clamp_min(1e-9))
        return Batch(audio * gain, target * gain, told)

    def _plan(self, rng: np.random.Generator) -> _Plan:
        """The draws are the same in number whatever the settings, so that one setting leaves the others' alone."""
        data, batch = self.data, self.data.batch_size
        which, places = rng.random((batch, 2)), rng.random((batch, 2, 2))
        noise, mix, denoise, level, gain, band, cutoff = rng.random((7, batch))
        further, further_places = rng.random((batch, MAX_NOISES - 1)), rng.random((batch, MAX_NOISES - 1, 2))
        count = rng.random(batch)
        gains, rooms = rng.random((batch, MAX_NOISES)), rng.random((batch, 1 + MAX_NOISES, 2))
        made, babble = rng.random((batch, MAX_NOISES)), rng.random(batch)
        tones = rng.random(batch) < data.tone_probability
        first = _pick(self.chances, which[:, 0])
        noisy = (noise < data.noise_probability) & (self.categories[first] == SPEECH) & ~tones
        mixed = (mix < data.mix_probability) & ~noisy & ~tones
        babbling = (noisy & (babble < data.babble_probability))[:, None]
        draws = np.concatenate([which[:, 1:], further], axis=1)
        noises = np.where(babbling, _pick(self.speech_chances, draws), _pick(self.noise_chances, draws))
        noises[:, 0] = np.where(noisy, noises[:, 0], _pick(self.chances, which[:, 1]))
        count = np.where(babbling[:, 0], 1.0 - 1e-9, count)
        shares = np.where(noisy[:, None], self._noise_shares(count, gains), np.eye(1, MAX_NOISES) * mixed[:, None])
        made_up = (made < data.made_noise_probability) & noisy[:, None] & ~babbling & (shares > 0)
        levels = np.where(noisy, _between(data.noise_snr_db, level), _between(data.mix_level_db, level))
        denoise = (denoise < data.denoise_probability) & ~mixed & (self.categories[first] != NOISE)
        in_room = (rooms[..., 0] < data.room_probability) & noisy[:, None]
        return _Plan(
            clips=np.concatenate([first[:, None], noises], axis=1)[:, : self.voices],
            places=np.concatenate([places, further_places], axis=1)[:, : self.voices],
            added=(shares * 10 ** (-levels / 20)[:, None])[:, : self.voices - 1],
            made=np.concatenate([np.zeros((batch, 1), bool), made_up], axis=1)[:, : self.voices],
            tones=tones,
            rooms=np.where(in_room, 1 + (rooms[..., 1] * ROOMS).astype(np.int64), 0)[:, : self.voices],
            kept=~(noisy & denoise),
            denoise=denoise,
            gain_db=_between(data.gain_db, gain),
            cutoff_hz=np.where(band < data.band_limit_probability, _between(data.band_limit_hz, cutoff), np.inf),
        )

    def _noise_shares(self, count: NDArray[np.float64], gains: NDArray[np.float64]) -> NDArray[np.float64]:
        """`[batch, noises]`: amplitudes of each crop's noises, whose squares sum to 1; 0 where there is none."""
        there = np.arange(MAX_NOISES) <= (count * self.data.noises).astype(np.int64)[:, None]
        amplitudes = there * 10 ** (_between(self.data.noise_gain_db, gains) / 20)
        return amplitudes / np.linalg.norm(amplitudes, axis=1, keepdims=True)

    def _places(self, plan: _Plan) -> tuple[Int[Tensor, "batch voices places"], Int[Tensor, "batch voices places"]]:
        """First samples in the corpus, and how many samples the clip has from there."""
        samples = self.samples[plan.clips][..., None]
        offsets = (plan.places * np.maximum(samples - self.length + 1, 1)).astype(np.int64)
        return self._tensor(self.starts[plan.clips][..., None] + offsets), self._tensor(samples - offsets)

    def _gather(
        self, starts: Int[Tensor, "batch voices places"], left: Int[Tensor, "batch voices places"]
    ) -> Float[Tensor, "batch voices samples"]:
        """The crops at the first places, or at the second where the first is quiet; silence after a clip's end."""
        rows = self.pcm.unfold(0, self.length, 1)
        time = torch.arange(self.length, device=self.device)
        heard = rows[:, ::_LISTEN_EVERY].index_select(0, starts[..., 0].flatten()).view(*starts.shape[:2], -1)
        heard = heard * (time[::_LISTEN_EVERY] < left[..., :1])
        energy = heard.int().square().sum(-1, dtype=torch.int64)  # whole numbers: the same on any machine
        quiet = energy < heard.shape[-1] * 10 ** (self.data.quiet_db / 10) * _FULL_SCALE**2
        start, left = (torch.where(quiet, places[..., 1], places[..., 0]) for places in (starts, left))
        crops = rows.index_select(0, start.flatten()).view(*start.shape, -1).float().div_(_FULL_SCALE)
        return crops.mul_(time < left[..., None]) if self.has_short_clips else crops

    def _voices(self, plan: _Plan, rng: np.random.Generator) -> Float[Tensor, "batch voices samples"]:
        """Crops of the corpus, and noises and tones made by chance in the places of some."""
        voices = self._gather(*self._places(plan))
        rows = np.flatnonzero(plan.tones)  # places rather than a mask, which a GPU would have to be asked for
        if len(rows):
            tones = made_tones(rng, len(rows), self.length, self.codec.sample_rate)
            voices[self._tensor(rows), 0] = self._tensor(tones)
        crops, places = np.nonzero(plan.made)
        if len(crops):
            noises = made_noise(rng, len(crops), self.length, self.codec.sample_rate)
            voices[self._tensor(crops), self._tensor(places)] = self._tensor(noises)
        return voices

    def _rooms(self) -> Complex[Tensor, "rooms frequencies"]:
        """No room, then ROOMS others."""
        rng = np.random.default_rng([self.seed, 0, 0])
        rt60_s, direct_db = rng.random((2, ROOMS))
        times, ratios = _between(self.data.room_rt60_s, rt60_s), _between(self.data.room_direct_db, direct_db)
        rooms = room_spectra(rng, times, ratios, self.length, self.codec.sample_rate)
        return self._tensor(np.concatenate([np.ones_like(rooms[:1]), rooms]))

    def _filter(
        self, voices: Float[Tensor, "batch voices samples"], plan: _Plan
    ) -> Float[Tensor, "batch voices samples"]:
        """The voices through their low-passes and rooms, of which most have none."""
        crop, voice = np.nonzero((plan.rooms > 0) | np.isfinite(plan.cutoff_hz)[:, None])
        if not len(crop):
            return voices
        rows = self._tensor(crop), self._tensor(voice)
        response = low_pass(self._tensor(plan.cutoff_hz[crop]), self.length, self.codec.sample_rate)
        if self.rooms is not None:
            response = response * self.rooms[self._tensor(plan.rooms[crop, voice])]
        voices[rows] = filtered(voices[rows], response)
        return voices

    def _join(
        self, voices: Float[Tensor, "batch voices samples"], plan: _Plan
    ) -> tuple[Float[Tensor, "batch samples"], Float[Tensor, "batch samples"]]:
        """Input and target: the first voice, the others at their levels below it; levels are RMS over the crop."""
        first = voices[:, 0]
        if self.voices == 1:
            return first, first
        rms = voices.square().mean(-1).sqrt().clamp_min(_SILENCE)
        factors = rms[:, :1] / rms[:, 1:] * self._tensor(plan.added)
        added = torch.einsum("bv,bvs->bs", factors, voices[:, 1:])
        return first + added, first + added * self._tensor(plan.kept)[:, None]

    def _condition(self, denoise: NDArray[np.bool_]) -> Float[Tensor, "batch condition frames"]:
        one_hot = denoise[:, None] == np.arange(self.codec.condition_dim)
        return self._tensor(one_hot).float()[..., None].repeat(1, 1, self.data.crop_frames)

    def _tensor(self, array: NDArray) -> Tensor:
        single = array.astype(np.float32) if array.dtype == np.float64 else array
        return torch.from_numpy(single).to(self.device, non_blocking=True)


def clip_shares(corpus: Corpus, data: DataConfig) -> NDArray[np.float64]:
    """Probability of each clip of the corpus, in all 1: category, then source, then by duration within the source.

    Raises:
        ConfigError: every category of the data weighs 0.
    """
    weights = np.array([data.category_weights.get(clip.category, 1.0) for clip in corpus.clips])
    shares = weights * _shares_in_category(corpus, data)
    if not shares.sum():
        raise ConfigError(f"every category of the data weighs 0; give one of {', '.join(corpus.categories())} a weight")
    return shares / shares.sum()


def _shares_in_category(corpus: Corpus, data: DataConfig) -> NDArray[np.float64]:
    """Probability of each clip within its category."""
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    for clip in corpus.clips:
        seconds[clip.category, clip.source] += clip.samples / corpus.sample_rate
    weights = {
        (category, source): data.source_weights.get(source, 1.0) * duration**data.source_duration_exponent
        for (category, source), duration in seconds.items()
    }
    totals: dict[str, float] = defaultdict(float)
    for (category, _), weight in weights.items():
        totals[category] += weight
    return np.array(
        [
            weights[key] / (totals[clip.category] or 1.0) * clip.samples / corpus.sample_rate / seconds[key]
            for clip in corpus.clips
            for key in [(clip.category, clip.source)]
        ]
    )


def low_pass(cutoff_hz: Float[Tensor, " rows"], length: int, sample_rate: int) -> Float[Tensor, "rows frequencies"]:
    """Butterworth's magnitude, 3 dB down at the cutoff, 48 dB an octave: factors for the `rfft` of `length` samples.

    Args:
        cutoff_hz: infinite lets all pass.
    """
    frequency = torch.fft.rfftfreq(length, 1 / sample_rate, device=cutoff_hz.device)
    return (1 + (frequency / cutoff_hz[:, None]) ** (2 * _BAND_LIMIT_ORDER)).rsqrt()


def filtered(
    audio: Float[Tensor, "rows samples"], response: Inexact[Tensor, "rows frequencies"]
) -> Float[Tensor, "rows samples"]:
    """Audio times a response in the frequency domain; the ends wrap around."""
    return torch.fft.irfft(torch.fft.rfft(audio) * response, n=audio.shape[-1])


def _check_possible(corpus: Corpus, data: DataConfig, codec: FamilyConfig) -> None:
    if data.denoise_probability and codec.condition_dim < 2:
        raise ConfigError(
            f"denoise_probability is {data.denoise_probability}, but the codec's condition_dim is "
            f"{codec.condition_dim}; the switch needs 2"
        )
    if data.denoise_probability and codec.audio_channels > 1:
        raise ConfigError("denoise_probability is above 0; a codec of several channels together cannot learn that")
    if data.noise_probability and (missing := {SPEECH, NOISE} - set(corpus.categories())):
        raise AudioError(
            f"noise_probability is {data.noise_probability}, but the data has no category "
            f"{' and no '.join(sorted(missing))}; add a folder of that name or {sorted(missing)[0]}=FOLDER"
        )


def _keep(pcm: NDArray[np.int16], samples: int, device: torch.device) -> Int[Tensor, " samples"]:
    """The corpus on its device, followed by silence if a crop at the last clip's start would pass its end."""
    if len(pcm) >= samples:
        return torch.from_numpy(pcm).to(device)
    kept = torch.zeros(samples, dtype=torch.int16, device=device)
    kept[: len(pcm)] = torch.from_numpy(pcm)
    return kept


def _pick(chances: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the clip whose part of the cumulated chances a draw in [0, 1) falls into."""
    return np.searchsorted(chances, draws * chances[-1], side="right").clip(max=len(chances) - 1)


def _between(interval: tuple[float, float], draws: NDArray[np.float64]) -> NDArray[np.float64]:
    return interval[0] + (interval[1] - interval[0]) * draws


def _peak(audio: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch 1 1"]:
    return audio.abs().amax(dim=(1, 2), keepdim=True)
