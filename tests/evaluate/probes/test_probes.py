"""Probes of codecs whose answer is known, and of a small model: report, table, picture and command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundstream.cli import main
from soundstream.evaluate.probes import probes, table
from soundstream.evaluate.probes.hard_sounds import hard_sounds
from soundstream.evaluate.tables import fill
from soundstream.nn.families.seanet import Config as SeanetConfig

RATE, HOP = 24_000, 320
SPEECH = Path(__file__).parents[3] / "examples" / "clips" / "speech.flac"
RANDOM = np.random.default_rng(0)


def identity(pcm):
    return pcm


def without(low, high):
    """A codec that loses what lies between two frequencies."""

    def code(pcm):
        spectrum = np.fft.rfft(pcm)
        hertz = np.fft.rfftfreq(len(pcm), 1 / RATE)
        spectrum[(hertz >= low) & (hertz < high)] = 0
        return np.fft.irfft(spectrum, len(pcm)).astype(np.float32)

    return code


def hiss(pcm):
    """Noise as loud as the sound."""
    return (RANDOM.normal(size=len(pcm)) * np.sqrt(np.mean(pcm**2))).astype(np.float32)


def sounds(code):
    return probes.measure_sounds(code, RATE, HOP, 6000)


@pytest.mark.parametrize("hertz", probes.TONES_HZ)
def test_a_perfect_codec_keeps_every_tone(hertz):
    found = probes.measure_tone(identity, RATE, hertz, 6000)
    assert (found.hertz, found.tone_db, found.total_db) == (hertz, 0, 0)


def test_a_perfect_codec_gives_what_the_table_calls_perfect():
    found = sounds(identity)
    assert found.noise_level_db == 0 and abs(found.noise_correlation) < 0.02
    assert found.silence_level_dbfs == -200
    assert found.click_peak == pytest.approx(probes.CLICK_PEAK) and found.click_spread_ms < 0.05
    assert found.square_peak == 1 and found.sweep_kept == 1


def test_a_lost_tone_has_a_very_low_level_and_its_neighbour_has_not():
    lost, kept = (probes.measure_tone(without(950, 1050), RATE, hertz, 6000) for hertz in (1000, 1250))
    assert lost.tone_db < -40 and lost.total_db < -20
    assert kept.tone_db == pytest.approx(0, abs=0.1)


def test_noise_in_the_place_of_a_tone_is_told_from_the_tone():
    found = probes.measure_tone(hiss, RATE, 1000, 6000)
    assert found.tone_db < -20 and found.total_db == pytest.approx(0, abs=0.5)


def test_a_tone_of_another_frequency_is_not_the_tone():
    found = probes.measure_tone(lambda pcm: probes.tone(1100, RATE), RATE, 1000, 6000)
    assert found.tone_db < -60 and found.total_db == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("frames", [1, 3, 8])
def test_noise_that_repeats_itself_is_a_buzz(frames):
    def repeats(pcm):
        return np.resize(pcm[: frames * HOP], len(pcm))

    assert sounds(repeats).noise_correlation > 0.98
    assert abs(sounds(hiss).noise_correlation) < 0.02


def test_noise_that_comes_and_goes_with_each_frame_pulses():
    def pulsing(pcm):
        return (pcm * (np.arange(len(pcm)) % HOP < HOP / 2)).astype(np.float32)

    assert sounds(pulsing).noise_pulse > 0.9 > 0.05 > sounds(hiss).noise_pulse


def test_noise_below_3_khz_does_not_count():
    assert sounds(without(0, 2900)).noise_level_db == pytest.approx(0, abs=0.01)
    assert sounds(without(3000, 12_001)).noise_level_db < -100


def test_a_smeared_click_is_longer_and_lower():
    found = sounds(lambda pcm: np.convolve(pcm, np.full(240, 1 / 240))[: len(pcm)].astype(np.float32))
    assert found.click_spread_ms == pytest.approx(9, abs=0.1)
    assert found.click_peak == pytest.approx(0.9 / 240, abs=1e-4)


def test_a_codec_that_says_nothing():
    found = sounds(np.zeros_like)
    assert found.click_spread_ms is None and found.click_peak == 0 and found.noise_correlation == found.noise_pulse == 0
    assert found.sweep_kept == 0 and found.noise_level_db < -150


def test_half_of_the_octaves_is_half_of_the_sweep():
    middle = (probes._SWEEP_HZ * 11_000) ** 0.5
    assert sounds(without(middle, 12_001)).sweep_kept == pytest.approx(0.5, abs=0.03)
    assert sounds(hiss).sweep_kept < 0.3


def test_overshoot_of_a_square_wave_is_its_peak():
    assert sounds(lambda pcm: 2 * pcm).square_peak == 2
    assert sounds(without(3000, 12_001)).square_peak > 1.05


def test_a_burst_is_found_and_named():
    def bursts_on_beeps(pcm):
        silent = np.flatnonzero(pcm == 0)
        return pcm * (1000 if len(silent) > 12_000 and np.abs(pcm).max() > 0.99 else 1)

    found = sounds(bursts_on_beeps)
    assert found.worst_peak > 900 and found.worst_sound.startswith(("beeps", "pulses", "white noise, gated", "clicks"))
    assert sounds(identity).worst_peak == 1


def test_hard_sounds_are_told_apart_and_keep_full_scale():
    made = dict(hard_sounds(RATE))
    assert len(made) == len(list(hard_sounds(RATE))) > 70
    assert all(0 < np.abs(sound).max() <= 1 and sound.shape == (RATE,) for sound in made.values())
    assert {name for name, _ in hard_sounds(8000)} < set(made)


def test_speech_is_measured_band_by_band():
    pcm = soundfile.read(SPEECH, dtype="float32")[0][: 3 * RATE]
    levels = probes.speech_levels([(pcm, without(2000, 4000)(pcm))], RATE, 6000)
    found = {(level.low_hz, level.high_hz): level.level_db for level in levels}
    assert found.pop((2000, 4000)) < -60
    assert found.pop((0, 12_000)) == pytest.approx(0, abs=1)
    assert len(found) == 6 and all(abs(level) < 0.01 for level in found.values())
    rows = probes.speech_harmonics([(pcm, pcm), (np.zeros_like(pcm), pcm)], RATE, 6000)
    assert [row["correlation"]["mean"] for row in rows] == pytest.approx([1, 1, 1])
    assert {row["correlation"]["n"] for row in rows} == {1}


def test_levels_are_of_all_clips_together():
    quiet, loud = 0.01 * probes.white_noise(RATE), probes.white_noise(RATE)
    levels = probes.speech_levels([(quiet, np.zeros_like(quiet)), (loud, loud)], RATE, 6000)
    assert all(level.level_db == pytest.approx(0, abs=0.01) for level in levels)


def test_rates_are_those_asked_for_or_what_the_model_has():
    assert probes.bitrates(SeanetConfig().spec()) == [3000, 6000, 18_000]
    assert probes.bitrates(SeanetConfig(num_quantizers=8).spec()) == [750, 3000, 6000]
    assert probes.bitrates(SeanetConfig(num_quantizers=1).spec()) == [750]


def test_a_slower_codec_has_fewer_tones():
    assert probes.tones_hz(RATE) == [*probes.TONES_HZ]
    assert max(probes.tones_hz(8000)) == 3150


@pytest.fixture
def folder(tmp_path):
    """One clip of speech at another sample rate, one of music."""
    for name, rate in (("speech/a", 16_000), ("music/b", RATE)):
        path = tmp_path / "clips" / f"{name}.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, rate), rate)
    return tmp_path / "clips"


@pytest.fixture
def call(tiny_artifact, few_probes, monkeypatch, capsys):
    """Runs `soundstream eval --probes`; returns what it says on stdout and stderr, and its exit code."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["soundstream", "eval", "--probes", str(tiny_artifact), *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        said = capsys.readouterr()
        return said.out, " ".join(said.err.split()), code

    return run


def test_the_command_writes_report_and_picture(call, codec, folder, tmp_path):
    out, err, code = call(folder, "-o", tmp_path / "report")
    found = json.loads((tmp_path / "report" / "probes.json").read_text())
    assert code == 0 and "error" not in err
    assert found["artifact"] == codec.model_id.hex() and found["bitrates"] == [750, 3000, 6000]
    assert all(found[key] for key in ("command", "data", "date")) and found["data"].endswith("speech: speech/a")
    assert len(found["tones"]) == 3 * 3 and len(found["sounds"]) == 3
    assert len(found["speech"]) == 3 * 8 and len(found["harmonics"]) == 3 * 3
    assert (tmp_path / "report" / "probes.png").read_bytes().startswith(b"\x89PNG")
    assert "tone 1,000 Hz, dB" in out and "6,000 bit/s" in out and "harmonics 1.5-3 kHz" in out
    again, refused, code = call(folder, "-o", tmp_path / "report")
    assert code == 1 and "--force" in refused and not again


def test_without_clips_speech_is_not_measured_and_that_is_said(call):
    out, err, code = call()
    assert code == 0 and "speech was not measured" in err
    assert "tone 100 Hz, dB" in out and "square wave" in out and "speech 1-2 kHz" not in out


def test_clips_without_speech_are_refused(call, folder):
    _, err, code = call(folder / "music")
    assert code == 1 and "no clips in a folder speech/" in err


def test_a_report_folder_that_is_a_file_is_refused_before_anything_is_measured(call, tmp_path):
    (tmp_path / "report").touch()
    out, err, code = call("-o", tmp_path / "report")
    assert code == 1 and "cannot make the folder" in err and not out


def test_without_a_model_clips_and_report_are_needed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["soundstream", "eval"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and "--probes" in capsys.readouterr().err


def test_two_runs_are_the_same_and_progress_ends_at_the_total(codec, folder, few_probes):
    told = []
    first = probes.run(codec, probes.find_speech(folder), lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == len(told) == 3 * (3 + 5 + len(list(hard_sounds(codec.spec.sample_rate))) + 1)
    second = probes.run(codec, probes.find_speech(folder), lambda done, total: None)
    assert json.loads(json.dumps(first)) == second


REPORT = {
    "bitrates": [3000, 6000],
    "tones": [
        {"hertz": 1000, "bitrate": 3000, "tone_db": -25.25, "total_db": -10.5},
        {"hertz": 1000, "bitrate": 6000, "tone_db": 0.5, "total_db": 0.75},
    ],
    "speech": [
        {"low_hz": 8000, "high_hz": 11_000, "bitrate": 3000, "level_db": None},
        {"low_hz": 8000, "high_hz": 11_000, "bitrate": 6000, "level_db": -7.5},
    ],
    "harmonics": [
        {"low_hz": 300, "high_hz": 1500, "bitrate": rate, "correlation": mean}
        for rate, mean in ((3000, {"mean": 0.5, "standard_error": 0.01, "n": 8}), (6000, None))
    ],
    "sounds": [
        {
            "bitrate": rate,
            "noise_level_db": -3.5,
            "noise_correlation": 0.75,
            "noise_pulse": 0.25,
            "silence_level_dbfs": -105.0,
            "click_peak": 0.25,
            "click_spread_ms": None,
            "square_peak": 2.5,
            "sweep_kept": 0.5,
            "worst_peak": 1234.5,
            "worst_sound": "constant",
        }
        for rate in (3000, 6000)
    ],
}


def test_a_marker_is_filled_with_the_table():
    filled = fill("<!-- table: probes tone speech harmonics -->\n<!-- end -->", {"probes": REPORT})
    assert filled.splitlines()[1:-1] == [
        "| probe | perfect | 3,000 bit/s | 6,000 bit/s |",
        "| --- | ---: | ---: | ---: |",
        "| tone 1,000 Hz, dB | 0, 0 | -25.2, -10.5 | +0.5, +0.8 |",
        "| speech 8-11 kHz, dB | 0.0 | – | -7.5 |",
        "| harmonics 0.3-1.5 kHz | 1.00 | 0.50 | – |",
    ]


def test_words_choose_kinds_of_probes():
    assert [line[0] for line in table.lines(REPORT, ["sweep", "noise", "silence"])] == [
        "noise above 3 kHz, dB",
        "noise, again after frames",
        "noise, pulse of frames",
        "silence, dBFS",
        "sweep kept",
    ]
    assert len(table.lines(REPORT)) == 3 + 9
