"""A corpus becomes the same bytes whoever makes them and however often a run is ended; what does not fit is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundstream import AudioError, CodecError, ConfigError, InputError, OutputError, audio, tokens
from soundstream.cli import app
from soundstream.system.processes import workers
from soundstream.tokens import engines
from soundstream.tokens.layout import ShardJob
from soundstream.tokens.sources import Source
from soundstream.tokens.worker import Report
from tokens.conftest import sound, tree

END_S = 60


# what is written


def test_codes_are_those_that_the_codec_gives_of_the_file(corpus, made, codec):
    found = tokens.open(made)
    assert " ".join(Path(one.source).stem for one in found) == "none slow 0 2 4 6 8 1 3 5 7 stereo"
    for one in found:
        pcm, rate = audio.read(one.source)
        np.testing.assert_array_equal(one.codes, codec.to_codes(pcm, rate, 1500))
        assert (one.sample_rate, one.num_samples, one.channels) == (rate, pcm.shape[1], len(pcm))
        assert one.duration_s == pcm.shape[1] / rate and one.start_s == 0


def test_what_cannot_be_read_is_listed_with_its_reason_and_stops_nothing(corpus, made):
    reasons = {Path(failure.source).name: failure.reason for failure in tokens.open(made).failed}
    assert reasons.keys() == {"damaged.flac", "empty.wav"}
    assert "is empty" in reasons["empty.wav"] and "damaged" in reasons["damaged.flac"]


def test_strict_ends_the_run_at_what_cannot_be_read(corpus, make, made, tmp_path):
    with pytest.raises(AudioError, match=r"(damaged|empty).*--retry"):
        make(corpus, tmp_path / "out", strict=True)
    shutil.copytree(made, tmp_path / "made")
    with pytest.raises(AudioError, match=r"damaged\.flac"):
        make(corpus, tmp_path / "made", strict=True)


def test_the_size_of_shards_is_chosen_by_the_corpus_or_by_hand(corpus, make, made, tmp_path):
    assert len([*made.glob("*.tar")]) > 4
    assert make(corpus, tmp_path / "one", shard_mb=None).shards == 1
    with pytest.raises(ConfigError, match="shard_mb is -1"):
        make(corpus, tmp_path / "none", shard_mb=-1)


# the same bytes


def test_processes_make_the_same_bytes_as_one(corpus, make, made, tmp_path):
    make(corpus, tmp_path / "out", jobs=2)
    assert tree(tmp_path / "out") == tree(made)


def test_a_run_that_is_killed_goes_on_to_the_same_bytes(corpus, tiny_artifact, made, tmp_path):
    words = [corpus, "-o", tmp_path / "out", "-b", 1500, "--shard-mb", 0.02, "--model", tiny_artifact, "-j", 1]
    command = [sys.executable, "-m", "soundstream", "tokenize", *map(str, words)]
    for wanted in (1, 3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + END_S
        while len(done := [*(tmp_path / "out").glob("*.tar")]) < wanted and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        process.wait()
        assert len(done) >= wanted
    (tmp_path / "out" / ".00001.tar.0123.part").write_bytes(b"half")  # what a kill leaves
    times = {path: path.stat().st_mtime_ns for path in done}
    app(["tokenize", *map(str, words)], standalone_mode=False)
    assert tree(tmp_path / "out") == tree(made)
    assert {path: path.stat().st_mtime_ns for path in done} == times


def test_what_is_done_is_not_done_again(corpus, make, made, tmp_path):
    shutil.copytree(made, tmp_path / "out")
    assert make(corpus, tmp_path / "out").made == 0
    (tmp_path / "out" / "00002.tar").unlink()
    assert make(corpus, tmp_path / "out").made == 1
    assert tree(tmp_path / "out") == tree(made)


def _ended_once(job):
    """A worker that ends its process at the first try of the second shard."""
    mark = Path(job.sources[0].path)
    if job.number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Report(job.number, 0, 0, 0.0, ())


def _always_ended(job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_ended_from_outside_costs_nothing_but_time(tmp_path):
    jobs = [ShardJob(i, i, (Source(str(tmp_path / "mark")),)) for i in range(4)]
    assert sorted(report.number for report in engines.run_processes(_ended_once, jobs, 2)) == [0, 1, 2, 3]
    with pytest.raises(CodecError, match="ended from outside again and again, with 4 shards"):
        list(engines.run_processes(_always_ended, jobs, 2))


def test_what_failed_is_tried_again_when_asked(make, tmp_path, made, corpus):
    folder = tmp_path / "data"
    sound(folder / "a.wav")
    (folder / "b.wav").write_bytes(b"")
    assert len(make(folder, tmp_path / "out").failed) == 1
    sound(folder / "b.wav", seed=1)
    assert make(folder, tmp_path / "out").made == 0
    summary = make(folder, tmp_path / "out", retry=True)
    assert (summary.made, summary.failed, summary.sounds) == (1, (), 2)
    assert len(tokens.open(tmp_path / "out")) == 2 and not [*(tmp_path / "out").glob("0*.failed.jsonl")]


# sources


def test_a_manifest_names_pieces_with_times_and_tags(make, manifest, codec, tmp_path):
    pcm = np.random.default_rng(0).normal(0, 0.1, 72_000)
    soundfile.write(tmp_path / "long.wav", pcm, 24_000, subtype="FLOAT")
    path = manifest(
        {"path": "long.wav", "start": 0.5, "end": 1.25, "text": "one", "speaker": 7},
        {"path": str(tmp_path / "long.wav"), "start": 1.25},
        {"audio_filepath": "long.wav", "offset": 0.1, "duration": 0.2},
        {"path": "long.wav", "start": 2.9, "end": 99},
    )
    make(path, tmp_path / "out")
    found = tokens.open(tmp_path / "out")
    places = [(12_000, 30_000), (30_000, 72_000), (2400, 7200), (69_600, 72_000)]
    for one, (start, end) in zip(found, places, strict=True):
        np.testing.assert_array_equal(one.codes, codec.to_codes(pcm[start:end].astype(np.float32), 24_000, 1500))
        assert (one.start_s, one.num_samples) == (start / 24_000, end - start)
    assert found[0].tags == {"text": "one", "speaker": "7"} and found[1].tags == {}


def test_wrong_lines_of_a_manifest_and_pieces_behind_the_end_are_listed(make, manifest, tmp_path):
    sound(tmp_path / "a.wav", 1)
    wrong = ["{", "[1]", {"start": 1}, {"path": 5}, {"path": "a.wav", "start": 2, "end": 1}, {"path": "a", "end": "x"}]
    path = manifest({"path": "a.wav"}, *wrong, {"path": "a.wav", "start": 5}, {"path": "gone.wav"})
    summary = make(path, tmp_path / "out")
    reasons = [failure.reason for failure in summary.failed]
    assert summary.sounds == 1 and len(reasons) == 8
    for number, (reason, said) in enumerate(
        zip(reasons, ("Expecting", "list", "'path'", "5", "not behind", "'x'"), strict=False), 2
    ):
        assert reason.startswith(f"line {number}: ") and said in reason
    assert "starts at 5 s; the file ends at 1 s" in reasons[6] and "No such file" in reasons[7]


def test_a_list_names_files_beside_it(make, tmp_path):
    sound(tmp_path / "deep" / "a.wav")
    sound(tmp_path / "deep" / "b.wav", seed=1)
    (tmp_path / "list.txt").write_text(f"deep/b.wav\n\n{tmp_path}/deep/a.wav\n")
    make(tmp_path / "list.txt", tmp_path / "out")
    assert [Path(one.source).name for one in tokens.open(tmp_path / "out")] == ["b.wav", "a.wav"]


def test_names_of_any_bytes_and_links_in_a_circle(make, tmp_path):
    folder = tmp_path / "data"
    sound(folder / "one" / "same.wav")
    sound(folder / "two" / "same.wav", seed=1)
    (folder / "one" / "up").symlink_to(folder)
    (folder / "gone.wav").symlink_to(tmp_path / "nothing")
    odd = os.fsdecode(os.fsencode(folder) + b"/caf\xe9.wav")
    Path(folder / "one" / "same.wav").rename(odd)
    summary = make(folder, folder / "tokens")  # inside of what is read
    assert summary.sounds == 2 and "No such file" in summary.failed[0].reason
    names = {Path(one.source).name for one in tokens.open(folder / "tokens")}
    assert names == {"caf\\xe9.wav", "same.wav"}
    assert make(folder, folder / "tokens").made == 0


def test_a_file_that_is_gone_when_the_run_goes_on_was_done_or_is_listed(make, tmp_path):
    folder = tmp_path / "data"
    for i in range(3):
        sound(folder / f"{i}.wav", seed=i)
    make(folder, tmp_path / "out", shard_mb=0.001)
    (tmp_path / "out" / "00002.tar").unlink()
    (folder / "0.wav").unlink()
    (folder / "2.wav").unlink()
    summary = make(folder, tmp_path / "out", shard_mb=0.001)
    assert (summary.sounds, [Path(one.source).name for one in summary.failed]) == (2, ["2.wav"])


def test_data_without_sound_is_refused(make, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="there is no sound in"):
        make(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(InputError, match=r"cannot read .*nothing: No such"):
        make(tmp_path / "nothing", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# folders that do not fit


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"bitrate": 3000}, "num_quantizers 2, not 4"),
        ({"shard_mb": 1}, "shard_mb 0.02, not 1"),
    ],
)
def test_tokens_of_other_settings_are_kept(corpus, make, made, tmp_path, words, said):
    shutil.copytree(made, tmp_path / "out")
    with pytest.raises(OutputError, match=rf"tokens with {said}.*--force"):
        make(corpus, tmp_path / "out", **words)
    assert tree(tmp_path / "out") == tree(made)
    make(corpus, tmp_path / "out", force=True, **words)
    assert tokens.open(tmp_path / "out").num_quantizers == words.get("bitrate", 1500) // 750


def test_tokens_of_another_model_are_kept(corpus, make, made, other_artifact, tmp_path):
    shutil.copytree(made, tmp_path / "out")
    with pytest.raises(OutputError, match="holds tokens with model "):
        make(corpus, tmp_path / "out", model=other_artifact)


def test_new_sources_need_a_folder_of_their_own(corpus, make, made, tmp_path):
    shutil.copytree(made, tmp_path / "out")
    shutil.copytree(corpus, tmp_path / "more")
    with pytest.raises(OutputError, match=r"begun without 14 of these sources"):
        make(tmp_path / "more", tmp_path / "out")


def test_a_folder_with_other_files_is_refused_even_when_forced(corpus, make, tmp_path):
    (tmp_path / "thesis.tex").touch()
    for force in (False, True):
        with pytest.raises(OutputError, match=r"other files, such as thesis\.tex"):
            make(corpus, tmp_path, force=force)


def test_two_runs_do_not_write_to_one_folder(corpus, make, tmp_path):
    from soundstream.tokens.storage import storage

    out = storage(tmp_path / "out")
    out.make()
    with out.locked(), pytest.raises(OutputError, match="another run writes"):
        make(corpus, tmp_path / "out")


def test_a_bitrate_and_a_number_of_codebooks_say_the_same(corpus, make, made, tmp_path):
    make(corpus, tmp_path / "out", bitrate=None, num_quantizers=2)
    assert tree(tmp_path / "out") == tree(made)
    with pytest.raises(ConfigError, match="say the same"):
        make(corpus, tmp_path / "out", num_quantizers=2)
    with pytest.raises(ConfigError, match="num_quantizers is 9; the model has 1 to 8"):
        make(corpus, tmp_path / "out", bitrate=None, num_quantizers=9)


# the command


def test_the_command_says_what_it_made(corpus, tiny_artifact, tmp_path, capsys):
    app(["tokenize", str(corpus), "-o", str(tmp_path / "out"), "--model", str(tiny_artifact)], standalone_mode=False)
    said = capsys.readouterr().err
    assert "12 sounds, 0.00 h, in 1 shard; 2 failed; --retry tries them again" in said
    assert said.count("failed: ") == 2 and "empty.wav is empty" in said
    settings = json.loads((tmp_path / "out" / "tokens.json").read_bytes())
    assert settings["bitrate"] == 6000 and settings["spec"]["sample_rate"] == 24_000


def test_a_full_disk_ends_the_run_with_its_name(corpus, make, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("soundstream.tokens.shards.ShardWriter.close", full)
    with pytest.raises(OutputError, match=r"00\d+\.tar: No space left"):
        make(corpus, tmp_path / "out")
    assert not [*(tmp_path / "out").glob("*.tar")] and not [*(tmp_path / "out").glob(".*")]


def _deaf(job):
    """A worker that loses what asks it to end, as the callbacks of libraries do."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    Path(job.sources[0].path).touch()
    time.sleep(END_S)


def test_a_process_that_does_not_hear_is_ended_all_the_same(tmp_path):
    mark, start = tmp_path / "mark", time.monotonic()
    with pytest.raises(KeyboardInterrupt), workers(1) as pool:
        pool.submit(_deaf, ShardJob(0, 0, (Source(str(mark)),)))
        while not mark.exists() and time.monotonic() - start < END_S:
            time.sleep(0.02)
        raise KeyboardInterrupt
    assert mark.exists() and time.monotonic() - start < END_S / 2
