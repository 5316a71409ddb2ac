"""Many files at once: what is found, where it goes, what is skipped, and what happens when something fails or ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundstream import CodecError, ConfigError
from soundstream.cli import app
from soundstream.cli.batch import JOURNAL, FileJob, attempt, plan

AUDIO = frozenset({".wav", ".flac"})
END_S = 60
"""Generous: what these tests wait for takes seconds."""


def sound(path, seconds=0.2, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, int(seconds * 24_000)), 24_000)
    return path


def tree(folder):
    """Names of all files below a folder, without the journal."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != JOURNAL}


@pytest.fixture
def run(tiny_artifact, tmp_path, monkeypatch, capsys):
    """Run a command here; gives its exit code and what it said on stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = app([*map(str, words), "--model", str(tiny_artifact)], standalone_mode=False)
        return code or 0, capsys.readouterr().err

    return call


# where outputs go


def outputs(tmp_path, *sources):
    jobs = plan([str(tmp_path / source) for source in sources], AUDIO, Path("/out"), ".nac").jobs
    return {str(job.source.relative_to(tmp_path)): str(job.output.relative_to("/out")) for job in jobs}


def touch(tmp_path, *names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()


def test_the_tree_of_a_folder_is_kept(tmp_path):
    touch(tmp_path, "in/b.wav", "in/deep/er/a.FLAC", "in/notes.txt", "in/.hidden.wav", "in/.git/c.wav")
    assert outputs(tmp_path, "in") == {"in/b.wav": "b.nac", "in/deep/er/a.FLAC": "deep/er/a.nac"}
    assert plan([str(tmp_path / "in")], AUDIO, Path("/out"), ".nac").passed_over == 1


def test_several_folders_keep_their_names(tmp_path):
    touch(tmp_path, "one/a.wav", "two/a.wav", "two/x/b.wav")
    assert outputs(tmp_path, "one", "two") == {
        "one/a.wav": "one/a.nac",
        "two/a.wav": "two/a.nac",
        "two/x/b.wav": "two/x/b.nac",
    }


def test_names_that_collide_are_told_apart(tmp_path):
    touch(tmp_path, "d1/a.wav", "d1/a.flac", "d2/a.wav", "d2/b.wav", "e/d2/a.wav")
    names = outputs(tmp_path, "d1/a.wav", "d1/a.flac", "d2/a.wav", "d2/b.wav", "e/d2/a.wav", "d2/../d2/a.wav")
    assert len(set(names.values())) == len(names) == 5
    assert names["d2/b.wav"] == "b.nac"
    assert {names["d1/a.wav"], names["d1/a.flac"]} == {"d1/a.wav.nac", "d1/a.flac.nac"}
    assert names["e/d2/a.wav"] == "e/d2/a.nac" and names["d2/a.wav"].endswith("/d2/a.nac")


def test_a_file_that_is_named_is_taken_whatever_its_suffix(tmp_path):
    touch(tmp_path, "a.bin")
    assert outputs(tmp_path, "a.bin") == {"a.bin": "a.nac"}


def test_a_link_to_a_folder_above_ends_nowhere(tmp_path):
    touch(tmp_path, "in/a.wav")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    assert outputs(tmp_path, "in") == {"in/a.wav": "a.nac"}


def test_pipes_in_a_folder_are_passed_by_and_dead_links_are_not(tmp_path):
    touch(tmp_path, "in/a.wav")
    os.mkfifo(tmp_path / "in/pipe.wav")
    (tmp_path / "in/dead.wav").symlink_to("nowhere.wav")
    assert outputs(tmp_path, "in") == {"in/a.wav": "a.nac", "in/dead.wav": "dead.nac"}


def test_a_folder_that_cannot_be_made_fails_its_files_only(tmp_path):
    (tmp_path / "out").write_bytes(b"")
    outcome = attempt(lambda source, output: None, FileJob(tmp_path / "a.wav", tmp_path / "out/b/a.nac"))
    assert outcome.error == f"cannot make the folder {tmp_path / 'out/b'}: Not a directory"


def test_no_output_leaves_the_folder(tmp_path):
    names = [f"{'deep/' * depth}a.wav" for depth in range(4)]
    touch(tmp_path, *names)
    jobs = plan([str(tmp_path / name) for name in names], AUDIO, Path("/out"), ".nac").jobs
    assert len({job.output for job in jobs}) == 4
    assert all(job.output.is_relative_to("/out") and ".." not in job.output.parts for job in jobs)


@pytest.mark.parametrize(("sources", "said"), [((), "no file in"), (("-", "a.wav"), "stdin")])
def test_nothing_found_and_stdin_are_refused(tmp_path, sources, said):
    with pytest.raises(ConfigError, match=said):
        plan(sources or [str(tmp_path)], AUDIO, Path("/out"), ".nac")


# what is done


def test_a_folder_is_coded_and_comes_back(run, tmp_path):
    for i, name in enumerate(("a.wav", "deep/b.flac", "deep/a.wav")):
        sound(tmp_path / "in" / name, 0.2 + 0.1 * i, i)
    code, said = run("encode", "in", "-o", "out", "--jobs", "1", "-b", "1500")
    assert code == 0 and "encoded 3 files: 0.9 s" in said
    assert tree(tmp_path / "out") == {"a.nac", "deep/b.nac", "deep/a.nac"}
    code, said = run("decode", "out", "-o", "back", "--format", "flac", "--jobs", "1")
    assert code == 0 and "decoded 3 files: 0.9 s" in said
    assert tree(tmp_path / "back") == {"a.flac", "deep/b.flac", "deep/a.flac"}
    assert soundfile.info(tmp_path / "back/deep/b.flac").frames == int(0.3 * 24_000)


def test_several_processes_write_the_same_files(run, tmp_path):
    for i in range(3):
        sound(tmp_path / f"in/{i}.wav", 0.3, i)
    (tmp_path / "in/bad.wav").write_bytes(b"no sound")
    for jobs in ("1", "2"):
        code, said = run("encode", "in", "-o", f"out{jobs}", "--jobs", jobs)
        assert code == 1 and "3 files" in said and "failed: " in said and "bad.wav" in said
    assert tree(tmp_path / "out1") == tree(tmp_path / "out2") == {"0.nac", "1.nac", "2.nac"}
    for i in range(3):
        assert (tmp_path / f"out1/{i}.nac").read_bytes() == (tmp_path / f"out2/{i}.nac").read_bytes()


def test_a_failure_is_told_and_stops_nothing(run, tmp_path):
    sound(tmp_path / "a.wav"), sound(tmp_path / "c.wav")
    (tmp_path / "b.wav").write_bytes(b"no sound")
    code, said = run("encode", "a.wav", "b.wav", "c.wav", "gone.wav", "-o", "out", "--jobs", "1", "--quiet")
    assert code == 1 and tree(tmp_path / "out") == {"a.nac", "c.nac"}
    failed = [line for line in said.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 2 and "b.wav" in failed[0] and "gone.wav" in failed[1]


def test_what_is_done_is_skipped_and_what_failed_is_tried_again(run, tmp_path):
    sound(tmp_path / "in/a.wav")
    (tmp_path / "in/b.wav").write_bytes(b"no sound")
    assert run("encode", "in", "-o", "out", "--jobs", "1")[0] == 1
    before = (tmp_path / "out/a.nac").stat().st_mtime_ns
    sound(tmp_path / "in/b.wav")
    code, said = run("encode", "in", "-o", "out", "--jobs", "1")
    assert code == 0 and "encoded 1 file:" in said and "done already: 1" in said
    assert (tmp_path / "out/a.nac").stat().st_mtime_ns == before
    assert run("encode", "in", "-o", "out", "--jobs", "1", "--force")[1].count("encoded 2 files") == 1
    (tmp_path / "out/a.nac").unlink()
    assert "encoded 1 file:" in run("encode", "in", "-o", "out", "--jobs", "1")[1]


def test_an_output_of_another_source_or_of_other_settings_is_not_taken_for_done(run, tmp_path):
    sound(tmp_path / "one/a.wav"), sound(tmp_path / "two/a.wav")
    assert run("encode", "one", "-o", "out", "--jobs", "1")[0] == 0
    for words in (("two",), ("one", "-b", "750")):
        code, said = run("encode", *words, "-o", "out", "--jobs", "1")
        assert code == 1 and "exists already" in said and "--force" in said
    os.utime(tmp_path / "one/a.wav", ns=(1, 1))  # the source has changed since
    assert run("encode", "one", "-o", "out", "--jobs", "1")[0] == 1


def test_a_line_of_the_journal_that_was_cut_off_is_passed_over(run, tmp_path):
    sound(tmp_path / "in/a.wav")
    run("encode", "in", "-o", "out", "--jobs", "1")
    journal = tmp_path / "out" / JOURNAL
    assert json.loads(journal.read_text())["output"] == "a.nac"
    journal.write_text(journal.read_text() + '{"output": "b')
    assert "done already: 1" in run("encode", "in", "-o", "out", "--jobs", "1")[1]


def test_several_inputs_need_a_folder(run, tmp_path):
    sound(tmp_path / "a.wav"), sound(tmp_path / "b.wav")
    for words in (("a.wav", "b.wav"), ("a.wav", "b.wav", "-o", "-"), (".",)):
        with pytest.raises(ConfigError, match="-o FOLDER"):
            run("encode", *words)
    with pytest.raises(CodecError, match=r"a\.wav"):
        run("encode", "a.wav", "b.wav", "-o", "a.wav")


def test_one_file_goes_into_a_folder_under_its_own_name(run, tmp_path):
    sound(tmp_path / "a.wav")
    code, said = run("encode", "a.wav", "-o", "out/")
    assert code == 0 and tree(tmp_path / "out") == {"a.nac"} and not (tmp_path / "out" / JOURNAL).exists()
    assert said.startswith("a.wav -> out/a.nac: 0.2 s, ")
    assert run("decode", "out/a.nac", "-o", "out", "--format", "ogg") == (0, "")
    assert tree(tmp_path / "out") == {"a.nac", "a.ogg"}


# ends from outside


def _heeding_signals():
    """Tests may run where these are ignored, as in the background of a shell; then a child would ignore them too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


ONE, SEVERAL = ("long.wav",), ("long.wav", "other.wav", "-o", "out", "--jobs", "2")
BOTH = [(number, words) for number in (signal.SIGTERM, signal.SIGHUP) for words in (ONE, SEVERAL)]


@pytest.mark.parametrize(("number", "words"), [*BOTH, (signal.SIGINT, ONE)])
def test_an_end_from_outside_leaves_nothing_half(tiny_artifact, tmp_path, number, words):
    for name in ("long.wav", "other.wav"):
        sound(tmp_path / name, 200)
    command = [sys.executable, "-m", "soundstream", "encode", *words, "--effort", "64", "--model", str(tiny_artifact)]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, preexec_fn=_heeding_signals)
    try:
        place, deadline = tmp_path / ("out" if len(words) > 1 else "."), time.monotonic() + END_S
        while len(list(place.glob(".*.part"))) < (2 if len(words) > 1 else 1) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(place.glob(".*.part")) and process.poll() is None
        process.send_signal(number)
        process.communicate(timeout=END_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode in ((1, 130) if number == signal.SIGINT else (128 + number,))
    assert list(place.glob(".*.part")) == [] and not list(place.glob("*.nac"))
