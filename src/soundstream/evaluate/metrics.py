"""What is measured: each metric with its name, range, direction, the content it means something for, and its source.

Every metric compares one channel with the original, aligned in time and of equal length; the DNSMOS scores listen to
the decoded audio alone. A metric that has no answer for a clip (too short, silent) gives None, never a made-up number.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from soundstream import audio
from soundstream.analysis.harmonics import BANDS_HZ, harmonic_correlation
from soundstream.analysis.mel import log_mel_distance
from soundstream.arrays import Array
from soundstream.errors import CodecError, ConfigError
from soundstream.system.extras import extra

SPEECH = frozenset({"speech", "noisy-speech"})
_DNSMOS_RATE, _DNSMOS_SAMPLES = 16_000, 144_160
_DNSMOS_CURVES = {  # SIG, BAK and OVRL from the network's raw outputs, as published with DNSMOS P.835
    "sig": (0, (-0.08397278, 1.22083953, 0.0052439)),
    "bak": (1, (-0.13166888, 1.60915514, -0.39604546)),
    "ovrl": (2, (-0.06766283, 1.11546468, 0.04602535)),
}
_HARMONICS = ("harmonics-low", "harmonics-middle", "harmonics-high")
_SETS = {"dnsmos": tuple(f"dnsmos-{part}" for part in _DNSMOS_CURVES), "harmonics": _HARMONICS}
"""Names that stand for several metrics."""


@dataclass(frozen=True)
class Metric:
    """One way to judge decoded audio."""

    name: str
    title: str
    """How tables and pictures call it."""
    low: float
    high: float
    """Ends of its range."""
    higher_is_better: bool
    classes: frozenset[str] | None
    """Content classes it means something for; None is any."""
    compute: Callable[[Array, Array, int], float]
    """Takes the original and the decoded audio, both `[samples]`, and their sample rate in Hz."""
    source: str
    modules: tuple[str, ...] = ()
    """Modules of the `eval` extra that compute it."""

    def means_something_for(self, content_class: str) -> bool:
        """Whether the value may be shown for clips of this class."""
        return self.classes is None or content_class in self.classes


def measure(metric: Metric, reference: Array, decoded: Array, sample_rate: int) -> float | None:
    """The metric's value, or None when it has no answer for this clip: too short, or silent.

    Raises:
        CodecError: the package behind the metric is not installed.
    """
    try:
        value = metric.compute(reference, decoded, sample_rate)
    except (ValueError, IndexError, RuntimeError):  # how the packages refuse a clip
        return None
    return float(value) if np.isfinite(value) else None


def select(names: Iterable[str]) -> list[Metric]:
    """Metrics by name, in the registry's order; `dnsmos` and `harmonics` stand for three each.

    Raises:
        ConfigError: a name is unknown.
        CodecError: a package is missing.
    """
    wanted = {single for name in names for single in _SETS.get(name, (name,))}
    if unknown := wanted - REGISTRY.keys():
        known = ", ".join([*REGISTRY, *_SETS])
        raise ConfigError(f"no metric is named {', '.join(sorted(unknown))}; known are {known}")
    chosen = [metric for name, metric in REGISTRY.items() if name in wanted]
    for metric in chosen:
        for module in metric.modules:
            _import(module, metric.title)
    return chosen


def si_sdr(reference: Array, decoded: Array, sample_rate: int) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, at most 100; `sample_rate` plays no part."""
    _check_sound(reference, decoded)
    target = reference.astype(np.float64) - reference.mean()
    estimate = decoded.astype(np.float64) - decoded.mean()
    projection = target * (estimate @ target) / (target @ target)
    error = estimate - projection
    power = float(projection @ projection)
    return 10 * float(np.log10(power / max(float(error @ error), 1e-10 * power)))


def _visqol(mode: str, rate: int, reference: Array, decoded: Array, sample_rate: int) -> float:
    _check_sound(reference, decoded)
    pair = (_resample(x, sample_rate, rate).astype(np.float64) for x in (reference, decoded))
    return _visqol_api(mode).measure_from_arrays(*pair, rate).moslqo


@lru_cache
def _visqol_api(mode: str) -> Any:
    api = _import("visqol", "ViSQOL").VisqolApi()
    with _no_stderr():
        api.create(mode=mode, use_lattice_model=mode == "speech")
    return api


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Keep back what native code says there of itself, in the middle of a progress bar."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _pesq(reference: Array, decoded: Array, sample_rate: int) -> float:
    _check_sound(reference, decoded)
    pair = (_resample(x, sample_rate, 16_000) for x in (reference, decoded))
    return _import("pesq", "PESQ").pesq(16_000, *pair, "wb")


def _stoi(reference: Array, decoded: Array, sample_rate: int) -> float:
    _check_sound(reference, decoded)
    if len(reference) < sample_rate:
        raise ValueError("STOI needs a second")
    pair = (_resample(x, sample_rate, 10_000) for x in (reference, decoded))
    return _import("pystoi", "STOI").stoi(*pair, 10_000)


def _dnsmos(part: str, reference: Array, decoded: Array, sample_rate: int) -> float:
    index, curve = _DNSMOS_CURVES[part]
    pcm = np.clip(_resample(decoded, sample_rate, _DNSMOS_RATE), -1, 1)
    while len(pcm) < _DNSMOS_SAMPLES:
        pcm = np.tile(pcm, 2)
    return float(np.polyval(curve, _dnsmos_raw(pcm.tobytes())[:, index]).mean())


@lru_cache(maxsize=1)  # the three scores of one clip come from one run
def _dnsmos_raw(data: bytes) -> Array:
    """Raw SIG, BAK and OVRL `[windows, 3]` of 9.01 s windows a second apart, as the package `speechmos` lays them."""
    pcm = np.frombuffer(data, np.float32)
    count = int(len(pcm) // _DNSMOS_RATE - _DNSMOS_SAMPLES / _DNSMOS_RATE) + 1
    windows = (pcm[None, i * _DNSMOS_RATE :][:, :_DNSMOS_SAMPLES] for i in range(count))
    return np.concatenate([_dnsmos_session().run(None, {"input_1": window})[0] for window in windows])


@lru_cache
def _dnsmos_session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    folder = Path(str(_import("speechmos", "DNSMOS").__file__)).parent
    return onnxruntime.InferenceSession(folder / "dnsmos_models" / "sig_bak_ovr.onnx", options)


def _harmonics(band: int, reference: Array, decoded: Array, sample_rate: int) -> float:
    return harmonic_correlation(reference, decoded, sample_rate)[band]


def _check_sound(*signals: Array) -> None:
    if any(np.ptp(signal) == 0 for signal in signals):
        raise ValueError("silence cannot be compared")


def _resample(pcm: Array, from_rate: int, to_rate: int) -> Array:
    return audio.resample(pcm[None], from_rate, to_rate)[0]


def _import(module: str, title: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise CodecError(
            f"{title} needs the module {error.name}; install it with: pip install {extra('eval')} "
            "(some of its packages are built on the spot and need a C compiler)"
        ) from error


REGISTRY = {
    metric.name: metric
    for metric in (
        Metric(
            "visqol-audio", "ViSQOL audio", 1, 4.73, True, None, partial(_visqol, "audio", 48_000),
            "ViSQOL v3 (Chinen et al., 2020), 48 kHz, support vector regression; trained at 24 kbit/s and more, "
            "so below that mostly a meter of bandwidth", ("visqol",),
        ),
        Metric(
            "visqol-speech", "ViSQOL speech", 1, 5, True, SPEECH, partial(_visqol, "speech", 16_000),
            "ViSQOL v3 (Chinen et al., 2020), 16 kHz, lattice mapping as in the reference; "
            "a perfect copy scores 4.3 to 4.6",
            ("visqol", "ai_edge_litert"),
        ),
        Metric(
            "pesq", "PESQ-wb", 1.04, 4.64, True, SPEECH, _pesq, "ITU-T P.862.2, wide band, 16 kHz", ("pesq",),
        ),
        Metric(
            "stoi", "STOI", 0, 1, True, SPEECH, _stoi, "Taal et al., 2011; intelligibility up to 5 kHz", ("pystoi",),
        ),
        Metric(
            "si-sdr", "SI-SDR dB", -100, 100, True, None, si_sdr,
            "Le Roux et al., 2019; punishes a codec that does not keep the waveform, however good it sounds",
        ),
        Metric(
            "log-mel", "log-mel", 0, 9.2, False, None, log_mel_distance,
            "the log part of the training loss, at the clip's own sample rate: see soundstream.analysis.mel",
        ),
        *(
            Metric(
                name, f"harmonics {low / 1000:g}-{high / 1000:g} kHz", -1, 1, True, SPEECH, partial(_harmonics, band),
                "correlation of the lines of the spectrum, 0 where noise of the right level is in their place: "
                "see soundstream.analysis.harmonics",
            )
            for band, (name, (low, high)) in enumerate(zip(_HARMONICS, BANDS_HZ, strict=True))
        ),
        *(
            Metric(
                f"dnsmos-{part}", f"DNSMOS {part.upper()}", 1, 5, True, SPEECH, partial(_dnsmos, part),
                "DNSMOS P.835 (Reddy et al., 2022), 16 kHz, no original needed", ("speechmos",),
            )
            for part in _DNSMOS_CURVES
        ),
    )
}  # fmt: skip

DEFAULT = ("visqol-audio", "visqol-speech", "pesq", "stoi", "si-sdr", "log-mel", *_HARMONICS)
