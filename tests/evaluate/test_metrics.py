"""Each metric at identity, under noise, and where it has nothing to say."""

import builtins
import importlib
import sys

import numpy as np
import pytest

from soundstream import CodecError, ConfigError, audio
from soundstream.evaluate import metrics
from soundstream.evaluate.metrics import DEFAULT, REGISTRY, Metric

RATE = 24_000
HARMONICS = ("harmonics-low", "harmonics-middle", "harmonics-high")
IDENTITY = {
    "visqol-audio": 4.732,
    "visqol-speech": 4.3,
    "pesq": 4.64,
    "stoi": 1.0,
    "si-sdr": 100,
    "log-mel": 0,
    **dict.fromkeys(HARMONICS, 1),
}


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    from pathlib import Path

    pcm, rate = audio.read(Path(__file__).parents[2] / "examples" / "clips" / "speech.flac")
    assert rate == RATE
    return pcm[0, : 3 * RATE]


def noisy(pcm: np.ndarray, level: float) -> np.ndarray:
    return (pcm + np.random.default_rng(0).normal(0, level, len(pcm))).astype(np.float32)


@pytest.mark.parametrize("name", DEFAULT)
def test_identity_scores_best_and_noise_lowers_the_score(speech: np.ndarray, name: str) -> None:
    metric = REGISTRY[name]
    scores = [metrics.measure(metric, speech, decoded, RATE) for decoded in (speech, noisy(speech, 0.003))]
    scores.append(metrics.measure(metric, speech, noisy(speech, 0.03), RATE))
    assert scores[0] == pytest.approx(IDENTITY[name], abs=0.1)
    assert scores == sorted(scores, reverse=metric.higher_is_better)
    assert len(set(scores)) == 3


def test_visqol_audio_gives_the_reference_value_of_identity() -> None:
    pcm = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    assert metrics.measure(REGISTRY["visqol-audio"], pcm, pcm, 48_000) == pytest.approx(4.7321, abs=0.007)


def test_visqol_speech_gives_the_reference_value_of_perfect_speech(speech: np.ndarray) -> None:
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=False, use_unscaled_speech=True)
    pcm = audio.resample(speech[None], RATE, 16_000)[0]
    assert api.measure_from_arrays(pcm, pcm, 16_000).moslqo == pytest.approx(4.0159, abs=0.007)


def test_dnsmos_hears_noise_in_the_background(speech: np.ndarray) -> None:
    metric = REGISTRY["dnsmos-bak"]
    clean, bad = (metrics.measure(metric, speech, x, RATE) for x in (speech, noisy(speech, 0.02)))
    assert clean is not None and bad is not None
    assert metric.low <= bad < clean - 0.5 <= metric.high


def test_si_sdr_of_noise_at_a_known_level() -> None:
    rng = np.random.default_rng(0)
    pcm = rng.normal(0, 0.1, 100_000).astype(np.float32)
    decoded = 0.5 * (pcm + rng.normal(0, 0.01, 100_000).astype(np.float32))
    assert metrics.si_sdr(pcm, decoded, RATE) == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("name", DEFAULT)
@pytest.mark.parametrize("samples", [1, RATE // 20, 2 * RATE])
def test_silence_and_short_clips_give_a_number_or_none_but_no_error(name: str, samples: int) -> None:
    value = metrics.measure(REGISTRY[name], np.zeros(samples, np.float32), np.zeros(samples, np.float32), RATE)
    assert value is None or np.isfinite(value)
    assert (value is None) == (name != "log-mel")


def test_speech_metrics_mean_nothing_for_music() -> None:
    means = {name: metric.means_something_for("music") for name, metric in REGISTRY.items()}
    assert [name for name in means if means[name]] == ["visqol-audio", "si-sdr", "log-mel"]
    assert all(metric.means_something_for("noisy-speech") for metric in REGISTRY.values())


def test_dnsmos_stands_for_its_three_scores() -> None:
    chosen = [metric.name for metric in metrics.select(["dnsmos", "log-mel"])]
    assert chosen == ["log-mel", "dnsmos-sig", "dnsmos-bak", "dnsmos-ovrl"]


def test_harmonics_stand_for_their_three_bands() -> None:
    chosen = metrics.select(["harmonics", "stoi"])
    assert [metric.name for metric in chosen] == ["stoi", *HARMONICS]
    assert [metric.title for metric in chosen[1:]] == [f"harmonics {band} kHz" for band in ("0.3-1.5", "1.5-3", "3-5")]


def test_each_metric_of_harmonics_hears_its_own_band(speech: np.ndarray) -> None:
    spectrum, hertz = np.fft.rfft(speech), np.fft.rfftfreq(len(speech), 1 / RATE)
    turned = np.exp(2j * np.pi * np.random.default_rng(0).random(len(spectrum)))
    spectrum = np.where((hertz > 1500) & (hertz < 3000), spectrum * turned, spectrum)
    decoded = np.fft.irfft(spectrum, len(speech)).astype(np.float32)
    low, middle, high = (metrics.measure(REGISTRY[name], speech, decoded, RATE) for name in HARMONICS)
    assert low is not None and middle is not None and high is not None
    assert low > 0.9 and high > 0.9 and middle < 0.3


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(ConfigError, match="named peaq; known are visqol-audio"):
        metrics.select(["log-mel", "peaq"])


@pytest.mark.parametrize("metric", [m for m in REGISTRY.values() if m.modules], ids=lambda m: m.name)
def test_a_missing_package_is_named_with_what_to_install(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in metric.modules:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(CodecError, match=rf"{metric.title} needs .*{module}.*soundstream-codec\[eval\]"):
                metrics.select([metric.name])


def test_metrics_are_listed_without_loading_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__
    forbidden = {module for metric in REGISTRY.values() for module in metric.modules}

    def guarded(name: str, *rest: object, **options: object) -> object:
        assert name.split(".")[0] not in forbidden
        return real(name, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", guarded)
    importlib.reload(metrics)
