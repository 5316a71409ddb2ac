"""Probes: made sounds whose perfect answer is known, and speech band by band.

Means over clips hide that single tones vanish, that hiss comes back as a buzz, or that a band of speech is quiet. A
probe puts one such question to a codec. All sounds are coded at the codec's own sample rate. What its networks give is
measured: entropy coding changes no sample, and the limiter of decoded sound would hide what goes beyond full scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundstream import audio
from soundstream.analysis.harmonics import BANDS_HZ, harmonic_correlation
from soundstream.arrays import Array
from soundstream.codec import Codec
from soundstream.errors import ConfigError
from soundstream.evaluate import clips
from soundstream.evaluate.align import align
from soundstream.evaluate.probes.hard_sounds import hard_sounds, worst_peak
from soundstream.evaluate.provenance import provenance
from soundstream.evaluate.statistics import mean_of
from soundstream.runtime.stream import DecoderStream
from soundstream.spec import CodecSpec

Code = Callable[[Array], Array]
"""Codes and decodes mono sound `[samples]`; what comes back is in step and as long."""
Report = dict[str, Any]

BITRATES = (3000, 6000, 18_000)
"""Bit/s of the probes, where the model has them."""
TONES_HZ = (
    100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 8000,
    10_000, 11_000,
)  # fmt: skip
"""Third octaves by their usual names (IEC 61260), and the highest tone that a codec at 24 kHz may be asked for."""
SPEECH_BANDS_HZ = ((0, 500), (500, 1000), (1000, 2000), (2000, 4000), (4000, 8000), (8000, 11_000), (11_000, 12_000))
MAX_SHARE = 11 / 12
"""Highest tone, of half the sample rate."""
MAX_CLIPS = 8
"""Most clips of speech."""
TOLERANCE_DB = 3
"""Level that counts as kept."""
NOISE_FROM_HZ = 3000
"""Where noise is listened to."""
REPEATING_FRAMES = 8
"""After which noise may come again."""
FRAME_PARTS = 8
"""Of a frame, whose power is compared."""
CLICK_PEAK = 0.9
MIN_POWER = 1e-20
"""Power that stands for none: -200 dB."""

_DATA = "tones, noise, silence, a click, a square wave and a sweep, made by soundstream.evaluate.probes; speech: "
_OTHER_SOUNDS = 5
"""Made sounds that are neither tones nor hard."""
_TONE_PEAK, _TONE_S = 0.3, 1.0
_ONSET_S = 0.25
"""Seconds at either end of a tone that are not measured."""
_NOISE_RMS, _NOISE_S = 0.1, 4.0
_SWEEP_HZ, _SWEEP_S = 100, 5.0


@dataclass(frozen=True)
class Tone:
    """What becomes of a sine."""

    hertz: int
    bitrate: int
    tone_db: float
    """Level at its own frequency, out over in."""
    total_db: float
    """Level of all that comes out, over the tone that went in: higher than `tone_db` where noise is in its place."""


@dataclass(frozen=True)
class Sounds:
    """What becomes of the other made sounds at one bit rate."""

    bitrate: int
    noise_level_db: float
    """White noise above 3 kHz, out over in."""
    noise_correlation: float
    """Of the same with itself 1 to 8 frames later, where it is largest; 0 is noise, 1 a buzz at the frame rate."""
    noise_pulse: float
    """How far its power rises and falls within a frame, all frames together: 0 is even, 1 comes and goes."""
    silence_level_dbfs: float
    """RMS of what zeros give, dB of full scale; -200 is nothing at all."""
    click_peak: float
    """Largest absolute sample that a single one of 0.9 gives."""
    click_spread_ms: float | None
    """Length of the shortest stretch that holds 90 % of the click's energy; None where nothing comes out."""
    square_peak: float
    """Largest absolute sample of a square wave at full scale."""
    sweep_kept: float
    """Share of a sweep's duration in which its line comes out within 3 dB of its level, 0 to 1."""
    worst_peak: float
    """Largest absolute sample of all hard sounds (`evaluate.probes.hard_sounds`), which peak at 1 or below."""
    worst_sound: str
    """The hard sound that gives it."""


@dataclass(frozen=True)
class BandLevel:
    """What becomes of speech in a band, all clips together."""

    low_hz: int
    high_hz: int
    bitrate: int
    level_db: float | None
    """Out over in; None where nothing went in."""


def run(codec: Codec, speech: Sequence[clips.Clip], progress: Callable[[int, int], None]) -> Report:
    """Put every probe to a codec; returns plain data, ready for JSON, that says where it comes from.

    Args:
        speech: clips of speech, as `find_speech` gives them; without any the lists `speech` and `harmonics` are empty.
        progress: told how many sounds are coded, of how many.
    Raises:
        AudioError: a clip cannot be read.
    """
    rate, chosen, ticks = codec.spec.sample_rate, bitrates(codec.spec), count(1)
    heard = [_at_rate(clip, rate) for clip in speech]
    made = len(tones_hz(rate)) + _OTHER_SOUNDS + len(list(hard_sounds(rate)))
    total = len(chosen) * (made + len(heard))
    rows: dict[str, list[Any]] = {"tones": [], "sounds": [], "speech": [], "harmonics": []}
    for bitrate in chosen:
        code = _counted(coder(codec, bitrate), lambda: progress(next(ticks), total))
        rows["tones"] += [asdict(measure_tone(code, rate, hertz, bitrate)) for hertz in tones_hz(rate)]
        rows["sounds"].append(asdict(measure_sounds(code, rate, codec.spec.hop_length, bitrate)))
        if pairs := [(pcm, align(pcm, code(pcm), rate)[0]) for pcm in heard]:
            rows["speech"] += [asdict(level) for level in speech_levels(pairs, rate, bitrate)]
            rows["harmonics"] += speech_harmonics(pairs, rate, bitrate)
    about = provenance(codec.model_id.hex(), _DATA + (", ".join(clip.name for clip in speech) or "none"))
    return {**about, "sample_rate": rate, "bitrates": chosen, **rows}


def bitrates(spec: CodecSpec) -> list[int]:
    """Bit/s of the probes: `BITRATES`, or the lowest, a middle and the highest of a model that lacks one of them."""
    try:
        for bitrate in BITRATES:
            spec.quantizers_for(bitrate)
    except ConfigError:
        counts = {1, (spec.num_quantizers + 1) // 2, spec.num_quantizers}
        return [spec.bitrate(number) for number in sorted(counts)]
    return [*BITRATES]


def find_speech(folder: Path) -> list[clips.Clip]:
    """At most `MAX_CLIPS` clips of class speech, spread over their names; none if there are none.

    Raises:
        ConfigError: the folder holds no audio file.
    """
    return [clip for clip in clips.find(folder, MAX_CLIPS) if clip.content_class == "speech"]


def coder(codec: Codec, bitrate: int) -> Code:
    """A codec at one bit rate; what its networks give, before it is limited, which would hide a burst.

    Of a codec of stereo it is the left channel; it is given the sound in both.
    """

    def code(pcm: Array) -> Array:
        codes = codec.check_codes(codec.to_codes(pcm, codec.spec.sample_rate, bitrate))
        stream = DecoderStream(codec.model, 1)
        decoded = np.concatenate([stream.push(codes), stream.flush()], axis=1)[0]
        return decoded[codec.spec.delay_samples :][: len(pcm)]

    return code


def tones_hz(sample_rate: int) -> list[int]:
    """Frequencies of the tones that a codec of this rate is asked for."""
    return [hertz for hertz in TONES_HZ if hertz <= MAX_SHARE * sample_rate / 2]


# sounds, each `[samples]`


def tone(hertz: float, sample_rate: int) -> Array:
    """A sine with a peak of 0.3, 1 s."""
    return (_TONE_PEAK * np.sin(2 * np.pi * hertz * _time(_TONE_S, sample_rate))).astype(np.float32)


def white_noise(sample_rate: int) -> Array:
    """Normal noise of RMS 0.1, 4 s, always the same."""
    noise = np.random.default_rng(0).normal(0, _NOISE_RMS, len(_time(_NOISE_S, sample_rate)))
    return noise.clip(-1, 1).astype(np.float32)


def silence(sample_rate: int) -> Array:
    """1 s of zeros."""
    return np.zeros(sample_rate, np.float32)


def click(sample_rate: int) -> Array:
    """A single sample of 0.9 in the middle of 1 s of silence."""
    pcm = silence(sample_rate)
    pcm[sample_rate // 2] = CLICK_PEAK
    return pcm


def square_wave(sample_rate: int) -> Array:
    """A square wave of 100 Hz at full scale, 1 s."""
    half_period = sample_rate // 200
    return np.where(np.arange(sample_rate) // half_period % 2, -1, 1).astype(np.float32)


def sweep(sample_rate: int) -> Array:
    """A sine with a peak of 0.3 that rises from 100 Hz to 11/12 of half the sample rate, each octave as long; 5 s."""
    growth = np.log(MAX_SHARE * sample_rate / 2 / _SWEEP_HZ) / _SWEEP_S
    phase = 2 * np.pi * _SWEEP_HZ / growth * np.expm1(growth * _time(_SWEEP_S, sample_rate))
    return (_TONE_PEAK * np.sin(phase)).astype(np.float32)


# what is measured of them


def measure_tone(code: Code, sample_rate: int, hertz: int, bitrate: int) -> Tone:
    """Code a tone and measure its middle half second."""
    pcm = tone(hertz, sample_rate)
    edge = round(_ONSET_S * sample_rate)
    given, got = pcm[edge:-edge], code(pcm)[edge:-edge]
    lines = [_line_power(signal, hertz, sample_rate) for signal in (got, given)]
    return Tone(hertz, bitrate, _ratio_db(*lines), _ratio_db(_power(got), _power(given)))


def measure_sounds(code: Code, sample_rate: int, hop_length: int, bitrate: int) -> Sounds:
    """Code noise, silence, a click, a square wave, a sweep and all hard sounds; `hop_length` is in samples."""
    noise = white_noise(sample_rate)
    given, got = (_above(signal, NOISE_FROM_HZ, sample_rate) for signal in (noise, code(noise)))
    clicked = code(click(sample_rate))
    peak, worst = worst_peak(code, sample_rate)
    return Sounds(
        bitrate,
        noise_level_db=_ratio_db(_power(got), _power(given)),
        noise_correlation=repetition(got, hop_length),
        noise_pulse=pulse(got, hop_length),
        silence_level_dbfs=_ratio_db(_power(code(silence(sample_rate))), 1.0),
        click_peak=_peak(clicked),
        click_spread_ms=spread_ms(clicked, sample_rate),
        square_peak=_peak(code(square_wave(sample_rate))),
        sweep_kept=sweep_kept(code(sweep(sample_rate)), sample_rate),
        worst_peak=peak,
        worst_sound=worst,
    )


def speech_levels(pairs: Sequence[tuple[Array, Array]], sample_rate: int, bitrate: int) -> list[BandLevel]:
    """Level by band over pairs of original and decoded speech, aligned; the last one is of the whole band."""
    whole = (0, sample_rate // 2)
    bands = [band for band in SPEECH_BANDS_HZ if band[1] <= whole[1]] + [whole]
    given, got = (np.sum([_band_powers(pair[i], bands, sample_rate) for pair in pairs], axis=0) for i in (0, 1))
    levels = (_ratio_db(out, into) if into > 0 else None for out, into in zip(got, given, strict=True))
    return [BandLevel(*band, bitrate, level) for band, level in zip(bands, levels, strict=True)]


def speech_harmonics(pairs: Sequence[tuple[Array, Array]], sample_rate: int, bitrate: int) -> list[dict[str, Any]]:
    """Mean harmonic correlation of the clips that have one, for each of its bands."""
    found = np.array([harmonic_correlation(*pair, sample_rate) for pair in pairs])
    rows = []
    for (low, high), values in zip(BANDS_HZ, found.T, strict=True):
        mean = mean_of(values[np.isfinite(values)].tolist())
        rows.append({"low_hz": low, "high_hz": high, "bitrate": bitrate, "correlation": mean and asdict(mean)})
    return rows


def repetition(pcm: Array, hop_length: int) -> float:
    """The largest correlation of a signal with itself 1 to REPEATING_FRAMES frames later; 0 of silence."""
    return max((self_correlation(pcm, hop_length * frames) for frames in range(1, REPEATING_FRAMES + 1)), key=abs)


def pulse(pcm: Array, hop_length: int) -> float:
    """Difference over sum of the highest and the lowest power that the parts of a frame have; 0 of silence."""
    frames = pcm[: len(pcm) // hop_length * hop_length].reshape(-1, hop_length)
    powers = [_power(part) for part in np.array_split(frames, FRAME_PARTS, axis=1)]
    high, low = max(powers), min(powers)
    return round((high - low) / (high + low), 4) if high > 0 else 0.0


def self_correlation(pcm: Array, lag: int) -> float:
    """Correlation of a signal with itself `lag` samples later; 0 of silence."""
    early, late = pcm[:-lag].astype(np.float64), pcm[lag:].astype(np.float64)
    scale = float(np.sqrt((early @ early) * (late @ late)))
    return round(float(early @ late) / scale, 4) if scale > 0 else 0.0


def spread_ms(pcm: Array, sample_rate: int, share: float = 0.9) -> float | None:
    """Length of the shortest stretch that holds a share of the energy; None of silence."""
    energy = np.cumsum([0.0, *np.square(pcm, dtype=np.float64)])
    if energy[-1] <= MIN_POWER:
        return None
    ends = np.searchsorted(energy, energy + share * energy[-1])
    lengths = (ends - np.arange(len(energy)))[ends < len(energy)]
    return round(1000 * float(lengths.min()) / sample_rate, 3)


def sweep_kept(decoded: Array, sample_rate: int) -> float:
    """Share of its duration in which a decoded sweep has the level of the original near the frequency of the moment."""
    got, given = (_swept_power(pcm, sample_rate) for pcm in (decoded, sweep(sample_rate)))
    levels_db = 10 * np.log10(np.maximum(got, MIN_POWER) / given)
    return round(float(np.mean(np.abs(levels_db) <= TOLERANCE_DB)), 3)


def _swept_power(pcm: Array, sample_rate: int) -> NDArray[np.float64]:
    """Power `[frames]` of a signal within a sixth of an octave and 30 Hz of the frequency that the sweep has there."""
    window = sample_rate * 2048 // 24_000
    frames = np.lib.stride_tricks.sliding_window_view(pcm.astype(np.float64), window)[:: window // 4]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(window), axis=-1)))
    middle_s = (np.arange(len(frames)) * (window // 4) + window / 2)[:, None] / sample_rate
    swept = _SWEEP_HZ * (MAX_SHARE * sample_rate / 2 / _SWEEP_HZ) ** (middle_s / _SWEEP_S)
    near = np.abs(np.fft.rfftfreq(window, 1 / sample_rate) - swept) <= (2 ** (1 / 6) - 1) * swept + 30
    return (power * near).sum(axis=1)


def _counted(code: Code, tick: Callable[[], None]) -> Code:
    def counting(pcm: Array) -> Array:
        decoded = code(pcm)
        tick()
        return decoded

    return counting


def _at_rate(clip: clips.Clip, sample_rate: int) -> Array:
    pcm, rate = clips.read(clip)
    return audio.resample(pcm[None], rate, sample_rate)[0]


def _time(duration_s: float, sample_rate: int) -> NDArray[np.float64]:
    return np.arange(round(duration_s * sample_rate)) / sample_rate


def _line_power(pcm: Array, hertz: float, sample_rate: int) -> float:
    """Power of the sine of this frequency in a signal."""
    window = np.hanning(len(pcm))
    turn = np.exp(-2j * np.pi * hertz * np.arange(len(pcm)) / sample_rate)
    return float(2 * np.square(np.abs(window * pcm @ turn) / window.sum()))


def _above(pcm: Array, hertz: float, sample_rate: int) -> Array:
    spectrum = np.fft.rfft(pcm)
    spectrum[np.fft.rfftfreq(len(pcm), 1 / sample_rate) < hertz] = 0
    return np.fft.irfft(spectrum, len(pcm)).astype(np.float32)


def _band_powers(pcm: Array, bands: Sequence[tuple[int, int]], sample_rate: int) -> NDArray[np.float64]:
    """Energy of a signal in each band `[bands]`."""
    power = np.square(np.abs(np.fft.rfft(pcm)))
    hertz = np.fft.rfftfreq(len(pcm), 1 / sample_rate)
    return np.array([power[(low <= hertz) & (hertz < high)].sum() for low, high in bands])


def _power(pcm: Array) -> float:
    return float(np.mean(np.square(pcm, dtype=np.float64)))


def _peak(pcm: Array) -> float:
    return round(float(np.abs(pcm).max()), 4)


def _ratio_db(power: float, reference: float) -> float:
    return round(10 * float(np.log10(max(power, MIN_POWER) / reference)), 2)
