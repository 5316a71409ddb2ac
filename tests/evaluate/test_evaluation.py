"""A whole evaluation on tiny clips: rows, resuming, report, pictures, listening test, and what is refused."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundstream import CodecError, ConfigError
from soundstream.cli import main
from soundstream.evaluate import clips, listening, report, runner
from soundstream.evaluate.rows import Row

RATE = 24_000
CODECS = "original,lowpass:3500,soundstream:1500,soundstream:3000,opus:12000"
FAST = "lowpass:3500,opus:12000"
Eval = Callable[..., Path]


def make_clips(place: Path) -> Path:
    """Two clips of speech, one of music, one ambient; 1.2 s each."""
    names = ("speech/a", "speech/b", "music/c", "ambient/d")
    for seed, name in enumerate(names):
        path = place / "clips" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, RATE * 6 // 5), RATE)
    return place / "clips"


def runner_of(folder: Path, model: Path, output: Path) -> Eval:
    """Calls `soundstream eval` on a folder of clips; gives the folder of its report."""

    def call(*words: str, codecs: str = CODECS, metrics: str = "stoi,si-sdr,log-mel") -> Path:
        shared = ["--codecs", codecs, "--metrics", metrics, "--model", str(model), "--jobs", "1"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["soundstream", "eval", str(folder), "-o", str(output), *shared, *words])
            try:
                main()
            except SystemExit as stop:
                assert not stop.code, f"exit code {stop.code}"
        return output

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_clips(tmp_path)


@pytest.fixture
def run(folder: Path, tiny_artifact: Path, tmp_path: Path, no_curves: None) -> Eval:
    return runner_of(folder, tiny_artifact, tmp_path / "report")


@pytest.fixture(scope="module")
def made(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all that it can hold; not to be changed."""
    place = tmp_path_factory.mktemp("evaluation")
    run = runner_of(make_clips(place), tiny_artifact, place / "report")
    return run("--baseline", "opus:12000", "--spectrograms", "2", "--listening-test")


def refused(capsys: pytest.CaptureFixture, call: Callable[[], object]) -> str:
    """The one line that is said when a command ends with code 1."""
    with pytest.raises(AssertionError, match="exit code 1"):
        call()
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def row(clip: str, codec: str, value: float | None, content_class: str = "music") -> Row:
    return Row("", clip, content_class, codec, 1.0, 100, 800.0, 0.0, {"si-sdr": value})


def test_the_report_holds_every_row_and_where_it_comes_from(made: Path, codec) -> None:
    found = json.loads((made / "report.json").read_text())
    assert found["artifact"] == codec.model_id.hex()
    assert found["command"].startswith("soundstream eval ") and "numpy" in found["versions"]
    assert found["settings"]["codecs"] == CODECS
    assert len(found["rows"]) == 4 * 5
    ours = next(r for r in found["rows"] if (r["clip"], r["codec"]) == ("music/c", "soundstream:1500"))
    assert ours["bitrate"] == pytest.approx(8 * ours["bytes"] / 1.2, rel=1e-3)
    assert set(ours["metrics"]) == {"si-sdr", "log-mel"}


def test_the_table_shows_dashes_where_a_metric_means_nothing(made: Path) -> None:
    text = (made / "report.md").read_text()
    music = text.split("## music")[1].split("##")[0]
    assert re.search(r"\| original \| 1 \| – \| – \| \d", music)
    assert re.search(r"\| soundstream:3000 \| 1 \| [\d,]+ \| – \| -?\d", music)
    speech = text.split("## speech")[1].split("##")[0]
    assert re.search(r"\| opus:12000 \| 2 \| [\d,]+ ± [\d,]+ \| [\d.]+ ± [\d.]+ \|", speech)


def test_pictures_and_listening_test_are_written(made: Path) -> None:
    assert {path.name for path in made.glob("*.png")} == {
        "rate_quality_speech.png",
        "rate_quality_music.png",
        "rate_quality_ambient.png",
        "spectrograms_ambient_d.png",
        "spectrograms_music_c.png",
    }
    page = (made / "listening" / "index.html").read_text()
    items = json.loads(re.search(r"const ITEMS = (\[.*\]);\n", page)[1])
    assert {stimulus["codec"] for stimulus in items[0]["stimuli"]} == {
        "original",
        "lowpass:3500",
        "soundstream:1500",
        "soundstream:3000",
        "opus:12000",
    }
    assert not re.search(r"(src|href)=|https?://", page.replace("link.href", ""))


def test_a_finished_pair_is_not_computed_again(run: Eval, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = run(codecs=FAST) / "rows.jsonl"
    first = (rows.parent / "report.json").read_text()
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[:-2]) + lines[-2][:40])  # as if interrupted while writing
    done: list[str] = []
    work = runner._work
    monkeypatch.setattr(runner, "_work", lambda job: done.append(job.key) or work(job))
    assert json.loads((run(codecs=FAST) / "report.json").read_text())["rows"] == json.loads(first)["rows"]
    assert len(done) == 2


def test_a_changed_clip_is_measured_again(run: Eval, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(codecs=FAST)
    soundfile.write(folder / "music" / "c.wav", np.random.default_rng(9).normal(0, 0.1, RATE), RATE)
    done: list[str] = []
    work = runner._work
    monkeypatch.setattr(runner, "_work", lambda job: done.append(job.clip.name) or work(job))
    run(codecs=FAST)
    assert done == ["music/c"] * 2


def test_two_processes_give_the_same_rows(run: Eval, made: Path) -> None:
    rows = json.loads((made / "report.json").read_text())["rows"]
    one = [row for row in rows if row["codec"] in FAST.split(",")]
    assert json.loads((run("--jobs", "2", codecs=FAST) / "report.json").read_text())["rows"] == one


def test_a_report_of_other_settings_is_kept_unless_forced(run: Eval, capsys: pytest.CaptureFixture) -> None:
    run(codecs="original")
    capsys.readouterr()
    assert "--force" in refused(capsys, lambda: run(codecs="lowpass:3500"))
    forced = json.loads((run("--force", codecs="lowpass:3500") / "report.json").read_text())
    assert {r["codec"] for r in forced["rows"]} == {"lowpass:3500"}


def test_a_folder_of_something_else_is_kept(run: Eval, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.tex").touch()
    assert "holds something else" in refused(capsys, run)


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        (["--baseline", "opus:1"], {}, "not among the codecs"),
        ([], {"codecs": "soundstream:1600"}, "1600"),
        ([], {"codecs": "evs:9600"}, "unknown"),
        ([], {"metrics": "taste"}, "no metric is named taste"),
        (["--shell", "x", "cp {in}", "cp {in} {out}"], {}, "does not name both"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    run: Eval, tmp_path: Path, capsys: pytest.CaptureFixture, words: list[str], options: dict, said: str
) -> None:
    assert said in refused(capsys, lambda: run(*words, **options))
    assert not (tmp_path / "report").exists()


def test_a_folder_without_audio(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no audio file"):
        clips.find(tmp_path)


def test_the_first_folder_is_the_class_and_a_flat_folder_its_own(folder: Path) -> None:
    assert [(c.name, c.content_class) for c in clips.find(folder, limit=1)] == [
        ("ambient/d", "ambient"),
        ("music/c", "music"),
        ("speech/a", "speech"),
    ]
    assert {c.content_class for c in clips.find(folder / "speech")} == {"speech"}


def test_noise_is_mixed_at_the_ratio_asked_for(folder: Path) -> None:
    mixed = clips.mix(clips.find(folder), snr_db=6)
    assert [(c.name, c.content_class) for c in mixed] == [
        ("speech/a+ambient/d", "noisy-speech"),
        ("speech/b+ambient/d", "noisy-speech"),
    ]
    clean, _ = clips.read(replace(mixed[0], noise=None))
    noise = clips.read(mixed[0])[0] - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(6, abs=0.01)
    assert np.array_equal(clips.read(mixed[0])[0], clips.read(mixed[0])[0])


def test_mixing_needs_speech_and_noise(folder: Path) -> None:
    with pytest.raises(ConfigError, match="speech/ and in a folder ambient/"):
        clips.mix(clips.find(folder / "music"), 10)


def test_a_mean_over_fewer_clips_says_so() -> None:
    rows = [row("a", "x:1", 2.0), row("b", "x:1", None), row("c", "x:1", 4.0)]
    summary = report.summarize(rows, ["si-sdr"], None)[0]
    assert report.cell(summary.metrics["si-sdr"], summary.n) == "3.00 ± 1.00 (2)"


def test_differences_are_taken_clip_by_clip() -> None:
    rows = [row("a", "x:1", 2.0), row("a", "y:1", 1.5), row("b", "x:1", 9.0), row("b", "y:1", 8.5)]
    summary = report.summarize(rows, ["si-sdr"], "y:1")[0]
    assert report.cell(summary.differences["si-sdr"], summary.n, sign="+") == "+0.50 ± 0.00"


def test_the_listening_page_cannot_be_broken_by_a_name(tmp_path: Path) -> None:
    pcm = np.zeros(100, np.float32)
    item = listening.Item("</script><b>", RATE, pcm, {"lowpass:3500": pcm})
    listening.write_page(tmp_path / "index.html", [item])
    assert (tmp_path / "index.html").read_text().count("</script>") == 1


def test_a_missing_package_of_a_codec_is_named(run: Eval, monkeypatch: pytest.MonkeyPatch) -> None:
    from soundstream.evaluate.codecs.ffmpeg import import_av

    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(CodecError, match=r"package av.*soundstream-codec\[eval\]"):
        import_av()
