"""The command line: what a person types, and what is said when it cannot be done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundstream import Codec

Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def run(tiny_artifact: Path, tmp_path: Path, command: Run) -> Run:
    """Calls the command; options of `subprocess.run` start Python anew, without any it is forked."""

    def call(*words: str | Path, model: Path | None = tiny_artifact, **options) -> subprocess.CompletedProcess:
        flag = ["--model", str(model)] if model and words[0] in ("encode", "decode", "bench", "cut", "cat") else []
        line = [*map(str, words), *flag]
        if not options:
            return command(line, tmp_path)
        line = [sys.executable, "-m", "soundstream", *line]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, timeout=60, **options)

    return call


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    pcm = np.random.default_rng(0).normal(0, 0.1, (30_001, 2))
    soundfile.write(tmp_path / "talk.wav", pcm, 44_100, subtype="PCM_16")
    return tmp_path / "talk.wav"


def fails(result: subprocess.CompletedProcess, *words: str) -> bool:
    """Exit code 1, one line on stderr with these words, nothing on stdout."""
    lines = result.stderr.decode().strip().splitlines()
    assert (result.returncode, len(lines), result.stdout) == (1, 1, b""), result.stderr.decode()
    assert lines[0].startswith("error: ")
    assert all(word in lines[0] for word in words), lines[0]
    return True


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_encode_and_decode_give_the_same_form_back(run: Run, talk: Path, tmp_path: Path) -> None:
    assert run("encode", "talk.wav", "--bitrate", "1500").returncode == 0
    assert run("decode", "talk.nac", "-o", "back.flac").returncode == 0
    back = soundfile.info(tmp_path / "back.flac")
    assert (back.frames, back.samplerate, back.channels, back.format) == (30_001, 44_100, 2, "FLAC")
    assert names(tmp_path) == {"talk.wav", "talk.nac", "back.flac"}


def test_pipes_give_the_same_bytes_as_files(run: Run, talk: Path, tmp_path: Path) -> None:
    run("encode", "talk.wav", "--bitrate", "1500")
    run("decode", "talk.nac", "-o", "back.wav")
    piped = run("encode", "-", "--bitrate", "1500", input=talk.read_bytes())
    assert piped.stdout == (tmp_path / "talk.nac").read_bytes()
    assert run("decode", "-", input=piped.stdout).stdout == (tmp_path / "back.wav").read_bytes()


def test_info_says_what_the_file_holds(run: Run, talk: Path, codec: Codec) -> None:
    run("encode", "talk.wav", "--bitrate", "1500", "--tag", "title=Größe [bold]x[/bold]", "--tag", "a=b=c")
    facts = json.loads(run("info", "talk.nac", "--json").stdout)
    size = (talk.parent / "talk.nac").stat().st_size
    assert (
        facts
        | {
            "model": codec.model_id.hex(),
            "sample_rate": 44_100,
            "channels": 2,
            "num_samples": 30_001,
            "nominal_bitrate": 1500,
            "max_bitrate": 1500,
            "bytes": size,
            "bitrate": round(8 * size / (30_001 / 44_100)),
            "bitrate_per_channel": round(8 * size / (30_001 / 44_100) / 2),
            "num_quantizers": [2],
            "frames": 52,
            "tags": {"title": "Größe [bold]x[/bold]", "a": "b=c"},
        }
        == facts
    )
    table = run("info", "talk.nac").stdout.decode()
    assert "44,100" in table and "[bold]x[/bold]" in table


def test_control_characters_in_a_tag_do_not_reach_the_terminal(run: Run, talk: Path) -> None:
    run("encode", "talk.wav", "--tag", "a=\x1b[2Jx\x07")
    assert not set(run("info", "talk.nac").stdout) & {0x1B, 0x07}


@pytest.mark.parametrize("samples", [0, 1])
def test_zero_samples_and_one_sample_come_back(run: Run, tmp_path: Path, samples: int) -> None:
    soundfile.write(tmp_path / "short.wav", np.full((samples, 2), 0.5), 44_100)
    assert run("encode", "short.wav").returncode == 0
    assert run("decode", "short.nac", "-o", "back.wav").returncode == 0
    back = soundfile.info(tmp_path / "back.wav")
    assert (back.frames, back.samplerate, back.channels) == (samples, 44_100, 2)


def test_an_existing_output_is_kept_unless_forced(run: Run, talk: Path, tmp_path: Path) -> None:
    (tmp_path / "talk.nac").write_bytes(b"precious")
    assert fails(run("encode", "talk.wav"), "talk.nac", "--force")
    assert (tmp_path / "talk.nac").read_bytes() == b"precious"
    assert run("encode", "talk.wav", "--force").returncode == 0
    assert (tmp_path / "talk.nac").read_bytes()[1:4] == b"NAC"


def test_a_file_that_is_no_audio(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert fails(run("encode", "notes.txt"), "notes.txt", "not audio", "WAV")
    assert names(tmp_path) == {"notes.txt"}


def test_an_empty_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert fails(run("encode", "empty.wav"), "empty.wav is empty")
    assert fails(run("decode", "empty.wav", "-o", "x.wav"), "not a .nac file")
    assert names(tmp_path) == {"empty.wav"}


def test_a_missing_file(run: Run) -> None:
    assert fails(run("encode", "gone.wav"), "cannot read gone.wav")
    assert fails(run("decode", "gone.nac"), "cannot read gone.nac")
    assert fails(run("info", "gone.nac"), "cannot read gone.nac")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_audio_with_nan_or_infinity(run: Run, tmp_path: Path, bad: float) -> None:
    pcm = np.zeros(60_000)
    pcm[50_000] = bad
    soundfile.write(tmp_path / "bad.wav", pcm, 24_000, subtype="FLOAT")
    assert fails(run("encode", "bad.wav"), "at sample 50000")
    assert names(tmp_path) == {"bad.wav"}


def test_a_truncated_file(run: Run, talk: Path, tmp_path: Path) -> None:
    run("encode", "talk.wav")
    (tmp_path / "cut.nac").write_bytes((tmp_path / "talk.nac").read_bytes()[:-10])
    assert fails(run("decode", "cut.nac"), "get a whole copy")
    told = run("info", "cut.nac")
    assert told.returncode == 1 and b"ends before its end record" in told.stdout
    assert names(tmp_path) == {"talk.wav", "talk.nac", "cut.nac"}


def test_a_foreign_file(run: Run, talk: Path, tmp_path: Path) -> None:
    assert fails(run("decode", "talk.wav", "-o", "x.wav"), "not a .nac file")
    assert names(tmp_path) == {"talk.wav"}


def test_a_file_of_another_model(run: Run, talk: Path, tmp_path: Path, codec: Codec, other_artifact: Path) -> None:
    run("encode", "talk.wav")
    result = run("decode", "talk.nac", "-o", "x.wav", model=other_artifact)
    assert fails(result, codec.model_id.hex(), "--model")
    assert names(tmp_path) == {"talk.wav", "talk.nac"}


def test_decode_takes_the_model_that_the_file_names(run: Run, talk: Path, tiny_artifact: Path, codec: Codec) -> None:
    run("encode", "talk.wav", "--bitrate", "1500")
    known = {**os.environ, "SOUNDSTREAM_MODELS": str(tiny_artifact.parent)}
    assert run("decode", "talk.nac", model=None, env=known).returncode == 1  # beside the WAV that it came from
    assert run("decode", "talk.nac", "-o", "back.wav", model=None, env=known).returncode == 0
    assert run("cut", "talk.nac", "-o", "cut.nac", "--to", "0.3", model=None, env=known).returncode == 0
    assert fails(run("decode", "talk.nac", "-o", "x.wav", model=None), codec.model_id.hex(), "SOUNDSTREAM_MODELS")


def test_a_folder_that_is_no_model(run: Run, talk: Path, tmp_path: Path) -> None:
    assert fails(run("encode", "talk.wav", model=tmp_path), "no model at")


def test_an_output_that_cannot_be_written(run: Run, talk: Path, tmp_path: Path) -> None:
    assert fails(run("encode", "talk.wav", "-o", "no/such/folder/x.nac"), "no/such/folder")
    assert run("encode", "talk.wav").returncode == 0
    assert fails(run("decode", "talk.nac", "-o", "x.xyz"), ".wav, .flac, .ogg")
    assert names(tmp_path) == {"talk.wav", "talk.nac"}


@pytest.mark.parametrize("bitrate", ["100", "18750", "6001"])
def test_an_unsupported_bitrate(run: Run, talk: Path, tmp_path: Path, bitrate: str) -> None:
    assert fails(run("encode", "talk.wav", "--bitrate", bitrate), f"bitrate {bitrate}", "in steps of 750")
    assert names(tmp_path) == {"talk.wav"}


def test_a_tag_without_a_value(run: Run, talk: Path) -> None:
    assert fails(run("encode", "talk.wav", "--tag", "artist"), "NAME=VALUE")


def test_commands_that_need_torch_say_how_to_get_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch here', name='torch')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    assert fails(run("export", "x", "-o", "y", env=environment), "pip install 'soundstream-codec[train]'")


def test_a_folder_that_is_no_checkpoint(run: Run, tmp_path: Path) -> None:
    assert fails(run("export", tmp_path, "-o", "y"), "is not a checkpoint")


def test_cut_and_cat_give_files_that_decode(run: Run, talk: Path, tmp_path: Path) -> None:
    run("encode", "talk.wav")
    assert run("cut", "talk.nac", "-o", "part.nac", "--from", "0.2", "--to", "0.5").returncode == 0
    assert run("cat", "part.nac", "talk.nac", "-o", "joined.nac").returncode == 0
    facts = json.loads(run("info", "joined.nac", "--json").stdout)
    assert facts["damage"] == [] and facts["duration_s"] == pytest.approx(0.3 + 30_001 / 44_100, abs=0.03)
    assert run("decode", "joined.nac", "--from", "0.4", "-o", "end.wav").returncode == 0
    assert soundfile.info(tmp_path / "end.wav").frames == facts["num_samples"] - 17_640
    assert fails(run("cut", "talk.nac", "-o", "part.nac"), "part.nac", "--force")


def test_a_damaged_file_is_told_of_and_concealed(run: Run, talk: Path, tmp_path: Path) -> None:
    run("encode", "talk.wav")
    data = bytearray((tmp_path / "talk.nac").read_bytes())
    data[60] ^= 1
    (tmp_path / "bad.nac").write_bytes(data)
    assert fails(run("decode", "bad.nac", "-o", "x.wav"), "checksum")
    result = run("decode", "bad.nac", "-o", "x.wav", "--conceal")
    assert result.returncode == 0 and b"lost: 0.69 s at 0.00 s" in result.stderr
    assert soundfile.info(tmp_path / "x.wav").frames == 30_001
    told = run("info", "bad.nac", "--json")
    assert told.returncode == 1 and len(json.loads(told.stdout)["damage"]) == 1


def test_a_variable_rate_and_its_packets(run: Run, talk: Path) -> None:
    assert run("encode", "talk.wav", "--vbr", "--bitrate", "1500", "--max-bitrate", "3000").returncode == 0
    facts = json.loads(run("info", "talk.nac", "--json", "--packets").stdout)
    assert (facts["nominal_bitrate"], facts["max_bitrate"], facts["num_quantizers"]) == (1500, 3000, [2])
    assert [packet["frames"] for packet in facts["packet_list"]] == [facts["frames"]]


def test_entropy_modes_that_cannot_be(run: Run, talk: Path) -> None:
    assert fails(run("encode", "talk.wav", "--entropy", "best"), "fit-entropy")
    assert fails(run("encode", "talk.wav", "--entropy", "good"), "none, fast, best")


def test_bench_prints_what_it_writes(run: Run, tmp_path: Path, codec: Codec) -> None:
    result = run("bench", "--json", "--bitrate", "1500", "--rounds", "1", "-o", "bench.json")
    assert result.stdout == (tmp_path / "bench.json").read_bytes()
    report = json.loads(result.stdout)
    assert (report["artifact"], report["bitrate"], report["rounds"]) == (codec.model_id.hex(), 1500, 1)
    assert fails(run("bench", "-o", "bench.json"), "bench.json", "--force")


def test_memory_does_not_grow_with_the_length(tmp_path: Path, tiny_artifact: Path) -> None:
    peaks_mb = []
    for seconds in (10, 150):
        soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, seconds * 24_000), 24_000)
        encode = ["encode", "a.wav", "--bitrate", "1500", "--force", "--model", str(tiny_artifact)]
        decode = ["decode", "a.nac", "-o", "back.wav", "--force", "--model", str(tiny_artifact)]
        peaks_mb.append([_peak_mb(words, tmp_path) for words in (encode, decode)])
    copy_mb = 140 * 24_000 * 4 >> 20
    assert all(long - short < copy_mb for short, long in zip(*peaks_mb, strict=True)), peaks_mb


def _peak_mb(words: list[str], folder: Path) -> int:
    """Most resident memory of the command, by the kernel's account of this program alone."""
    peak = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    script = f"from soundstream.cli import main\ntry:\n    main()\nfinally:\n    {peak}"
    result = subprocess.run([sys.executable, "-c", script, *words], cwd=folder, capture_output=True, timeout=120)
    assert result.returncode == 0, result.stderr.decode()
    return int(result.stdout) // 1024


def test_effort_changes_the_codes_and_nothing_else(run: Run, talk: Path, tmp_path: Path) -> None:
    for effort in ("1", "16"):
        assert run("encode", "talk.wav", "--bitrate", "6000", "--effort", effort, "-o", f"{effort}.nac").returncode == 0
    sizes = {(tmp_path / f"{effort}.nac").stat().st_size for effort in ("1", "16")}
    assert (tmp_path / "1.nac").read_bytes() != (tmp_path / "16.nac").read_bytes() and len(sizes) == 1
    assert fails(run("encode", "talk.wav", "--effort", "65", "-o", "no.nac"), "effort is 65")
    assert not (tmp_path / "no.nac").exists()


def test_short_options_and_the_module_are_the_command(run: Run, talk: Path, tmp_path: Path) -> None:
    assert run("encode", "talk.wav", "-b", "1500", "-q", env=os.environ).stderr == b""
    assert json.loads(run("info", "talk.nac", "--json").stdout)["nominal_bitrate"] == 1500
    for words in (["-h"], ["encode", "-h"], ["eval", "--help"]):
        told = run(*words, model=None)
        assert told.returncode == 0 and b"Usage: " in told.stdout


@pytest.mark.parametrize(
    ("words", "found"), [("soundstream enc", "encode"), ("soundstream encode --bitr", "--bitrate")]
)
def test_the_shell_completes_commands_and_options(tmp_path: Path, words: str, found: str) -> None:
    asked = {"_SOUNDSTREAM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    program = Path(sys.executable).with_name("soundstream")
    told = subprocess.run([program], env={**os.environ, **asked}, capture_output=True, timeout=60, check=False)
    assert found in told.stdout.decode().split()
