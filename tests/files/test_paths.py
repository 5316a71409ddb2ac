"""Files to files by path: what a program or a command gives, gets and is told."""

import copy
import dataclasses
import errno
import io
import os
import pickle
import re
import shutil
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundstream import (
    AudioError,
    BadMagic,
    CodecError,
    ConfigError,
    ModelMismatch,
    OutputError,
    Truncated,
    audio,
    info,
)
from soundstream.bitstream import Header, Reader
from soundstream.cli import app, main
from soundstream.codec import encode_file, load
from soundstream.runtime.options import EncodeOptions

RATE = 44_100


# encode and decode


def test_a_file_and_its_way_back(talk, encode, decode):
    seen = []
    there = encode(talk, watch=lambda done, total: seen.append((done, total)))
    assert (there.output, there.channels, there.num_samples) == ("talk.nac", 2, 15_001)
    assert there.source_bytes == talk.stat().st_size and there.output_bytes == Path("talk.nac").stat().st_size
    assert seen[-1] == (15_001, 15_001) and there.duration_s == pytest.approx(0.34, abs=0.01)
    back = decode("talk.nac", Path("back.flac"))
    assert soundfile.info("back.flac").frames == back.num_samples == 15_001
    assert back.output_bytes == Path("back.flac").stat().st_size


def test_files_hold_what_bytes_do(talk, encode, tiny_artifact):
    encode(talk, "talk.nac", tags={"title": "x"})
    pcm, rate = audio.read(talk)
    assert Path("talk.nac").read_bytes() == load(tiny_artifact).encode(pcm, rate, 1500, tags={"title": "x"})


def test_a_variable_rate_has_its_ceiling_in_the_header(talk, encode):
    encode(talk, "vbr.nac", vbr=True, max_bitrate=3000)
    with Path("vbr.nac").open("rb") as stream:
        assert Header.read(stream).bitrate == 3000
    with pytest.raises(ConfigError, match="bitrate 100"):
        encode(talk, "no.nac", vbr=True, max_bitrate=100)
    assert not Path("no.nac").exists()


@pytest.mark.parametrize("rate", [8000, 48_000])
def test_another_rate_and_other_bits(talk, encode, decode, rate):
    encode(talk)
    found = decode("talk.nac", "back.wav", sample_rate=rate, bits="24")
    info = soundfile.info("back.wav")
    assert (info.samplerate, info.subtype) == (rate, "PCM_24")
    assert info.frames == found.num_samples == audio.resampled_length(15_001, RATE, rate)


def test_tags_come_back_in_the_audio(talk, encode, decode):
    encode(talk, tags={"title": "Été", "artist": "Anna", "mood": "calm"})
    for name, rate in (("back.flac", None), ("back.ogg", None), ("back.opus", 48_000)):
        decode("talk.nac", name, sample_rate=rate)
        with soundfile.SoundFile(name) as sound:
            assert sound.copy_metadata() == {"title": "Été", "artist": "Anna"}


def test_a_file_with_damage_is_concealed_and_told_of(talk, encode, decode):
    encode(talk)
    data = bytearray(Path("talk.nac").read_bytes())
    data[60] ^= 1
    Path("bad.nac").write_bytes(data)
    with pytest.raises(Exception, match=r"bad\.nac: .*checksum"):
        decode("bad.nac", "x.wav")
    (loss,) = decode("bad.nac", "x.wav", conceal=True).damage
    assert (loss.start_s, loss.duration_s) == (0, pytest.approx(15_001 / RATE, abs=1 / 75))
    assert soundfile.info("x.wav").frames == 15_001


# what is refused


def test_the_input_is_never_the_output(talk, encode, decode):
    encode(talk)
    Path("link.wav").symlink_to("talk.wav")
    os.link("talk.wav", "hard.wav")
    before = talk.read_bytes(), Path("talk.nac").read_bytes()
    for name in ("talk.wav", "./talk.wav", "link.wav", "hard.wav"):
        with pytest.raises(OutputError, match="is the input"):
            encode(talk, name, force=True, any_name=True)
    with pytest.raises(OutputError, match="is the input"):
        decode("talk.nac", "talk.nac", force=True)
    assert (talk.read_bytes(), Path("talk.nac").read_bytes()) == before


@pytest.mark.parametrize("words", [("cut", "talk.nac", "--to", "0.1"), ("cat", "talk.nac", "talk.nac")])
def test_nor_is_it_of_commands_that_cut_and_join(run, encode, words):
    encode("talk.wav")
    before = Path("talk.nac").read_bytes()
    with pytest.raises(OutputError, match="is the input"):
        run(*words, "-o", "talk.nac", "--force")
    assert Path("talk.nac").read_bytes() == before


@pytest.mark.parametrize("name", ["x.wav", "x.FLAC", "x.mp3", "x.m4a"])
def test_nac_bytes_do_not_go_under_the_name_of_audio(talk, encode, run, name):
    with pytest.raises(OutputError, match=r"--format nac"):
        encode(talk, name)
    assert not Path(name).exists()
    run("encode", "talk.wav", "-o", name, "--format", "nac")
    assert Path(name).read_bytes()[1:4] == b"NAC"


@pytest.mark.parametrize("words", [("cut", "talk.nac", "--to", "0.1"), ("cat", "talk.nac", "talk.nac")])
def test_nor_what_was_cut_and_joined(run, encode, words):
    encode("talk.wav")
    with pytest.raises(OutputError, match=r"x\.flac would hold \.nac bytes"):
        run(*words, "-o", "x.flac")
    assert not Path("x.flac").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("decode", "talk.nac", "-o", "x.wav", "--format", "flac"), "--format flac and the name x.wav"),
        (("decode", "talk.nac", "-o", "-", "--format", "flac"), "stdout takes WAV only"),
        (("decode", "talk.nac", "-o", "x.wav", "--to", "0"), "sample rate 0 Hz"),
        (("encode", "talk.wav", "-o", "x.nac", "--max-bitrate", "3000"), "goes with a variable rate"),
        (("encode", "talk.wav", "-o", "x.nac", "--tag", "a=1", "--tag", "a=2"), "stands twice"),
        (("encode", "n" * 300 + ".wav", "-o", "x.nac"), "File name too long"),
        (("encode", "", "-o", "x.nac"), "a file without a name"),
        (("encode", "talk.wav", "-o", ""), "name a file"),
    ],
)
def test_what_contradicts_itself_or_names_nothing_is_refused(run, encode, words, said):
    encode("talk.wav")
    before = set(Path().iterdir())
    with pytest.raises(CodecError, match=re.escape(said)):
        run(*words)
    assert set(Path().iterdir()) == before


def test_sound_that_is_to_be_decoded_is_no_nac_file(talk, decode):
    with pytest.raises(BadMagic, match=r"talk\.wav: not a \.nac file"):
        decode("talk.wav")


@pytest.mark.parametrize("name", ["x.flac", "x.opus"])
def test_no_sound_is_no_file_where_the_format_has_none(talk, encode, decode, name):
    soundfile.write("none.wav", np.zeros(0), 24_000)
    encode("none.wav")
    with pytest.raises(AudioError, match=rf"{name} would hold no sound"):
        decode("none.nac", name)
    assert not Path(name).exists()
    for other in ("x.wav", "x.ogg"):
        decode("none.nac", other)
        assert audio.read(other)[0].shape == (1, 0)


def test_a_start_behind_the_end_is_refused(talk, encode, decode):
    encode(talk)
    for start_s in (15_001 / RATE, 100.0):
        with pytest.raises(ConfigError, match=r"talk\.nac ends at 0\.34 s"):
            decode("talk.nac", "x.wav", start_s=start_s)
    assert not Path("x.wav").exists()


def test_a_wav_of_more_than_4_gib_is_refused_before_it_is_decoded(talk, encode, decode, monkeypatch):
    encode(talk)
    monkeypatch.setattr("soundstream.audio.write.WAV_BYTES", 15_000 * 4)
    monkeypatch.setattr("soundstream.codec.reading.DecoderStream", None)  # calling it fails
    with pytest.raises(AudioError, match=r"x\.wav would pass the 4 GiB"):
        decode("talk.nac", "x.wav")


def test_errors_name_the_file(talk, encode, decode, tiny_artifact, other_artifact):
    encode(talk)
    Path("cut.nac").write_bytes(Path("talk.nac").read_bytes()[:-9])
    Path("bad.nac").write_bytes(b"no")
    soundfile.write("nan.wav", np.full(100, np.nan), RATE, subtype="FLOAT")
    soundfile.write("nine.wav", np.zeros((100, 9)), RATE)
    for name, error in (("cut.nac", Truncated), ("bad.nac", BadMagic), ("gone.nac", AudioError)):
        with pytest.raises(error, match=name):
            decode(name, "x.wav")
    for name in ("nan.wav", "nine.wav", "gone.wav", "bad.nac"):
        with pytest.raises(AudioError, match=name):
            encode(name, "x.nac")
    with pytest.raises(ModelMismatch, match=r"talk\.nac"):
        decode("talk.nac", "x.wav", model=other_artifact)
    assert not Path("x.wav").exists() and not Path("x.nac").exists()


def test_paths_where_audio_or_bytes_are_meant(talk, codec):
    with pytest.raises(AudioError, match="encode_file"):
        codec.encode("talk.wav", RATE)
    for wrong in ("talk.nac", Path("talk.nac"), None):
        with pytest.raises(ConfigError, match="decode_file"):
            codec.decode(wrong)


# pipes


def test_a_pipe_is_decoded_from_a_place_and_cut(run, encode, stdin):
    encode("talk.wav")
    for words in (("decode", "--from", "0:00.1"), ("cut", "--from", "0.1", "--to", "0.3")):
        verb, *options = words
        run(verb, "talk.nac", *options, "-o", f"file.{'wav' if verb == 'decode' else 'nac'}")
        stdin("talk.nac")
        run(verb, "-", *options, "-o", f"pipe.{'wav' if verb == 'decode' else 'nac'}")
    assert Path("pipe.wav").read_bytes() == Path("file.wav").read_bytes()
    assert Path("pipe.nac").read_bytes() == Path("file.nac").read_bytes()


def test_stdout_gets_the_same_wav_whether_or_not_the_header_knows_the_length(run, encode):
    encode("talk.wav")
    run("decode", "talk.nac", "-o", "file.wav")
    assert run("decode", "talk.nac", "-o", "-")[0] == Path("file.wav").read_bytes()
    data = bytearray(Path("talk.nac").read_bytes())
    with Path("talk.nac").open("rb") as stream:
        header = Header.read(stream)
    unknown = Header(**{**vars(header), "num_samples": None}).to_bytes()
    Path("unknown.nac").write_bytes(unknown + data[len(header.to_bytes()) :])
    assert run("decode", "unknown.nac", "-o", "-")[0] == Path("file.wav").read_bytes()


def test_sound_goes_out_before_the_file_is_read_to_its_end(talk, encode, tiny_artifact, capsysbinary):
    soundfile.write("long.wav", np.random.default_rng(1).normal(0, 0.1, 24_000 * 20), 24_000)
    encode("long.wav")
    Path("cut.nac").write_bytes(Path("long.nac").read_bytes()[:-300])
    with pytest.raises(Truncated):
        app(["decode", "cut.nac", "-o", "-", "--model", str(tiny_artifact)], standalone_mode=False)
    assert len(capsysbinary.readouterr().out) > 2 * 24_000 * 15


# the rest of the command line


def test_one_line_says_what_became_of_a_file(run):
    said = run("encode", "talk.wav", "-b", "1500")[1]
    before, after = (Path(name).stat().st_size for name in ("talk.wav", "talk.nac"))
    rate = round(8 * after / (15_001 / RATE))
    assert (
        said
        == f"talk.wav -> talk.nac: 0.3 s, {before:,} -> {after:,} bytes ({before / after:.1f} : 1), {rate:,} bit/s\n"
    )
    assert run("encode", "talk.wav", "--force", "--quiet")[1] == ""


def test_a_named_pipe_has_no_size(run, talk):
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(talk.read_bytes()))
    writer.start()
    said = run("encode", "pipe", "-o", "talk.nac", "-b", "1500")[1]
    writer.join()
    assert said.startswith(f"pipe -> talk.nac: 0.3 s, {Path('talk.nac').stat().st_size:,} bytes, ")


def test_an_error_of_the_system_is_one_line(monkeypatch, capsys):
    def fail():
        raise OSError(errno.EIO, "Input/output error", "talk.wav")

    monkeypatch.setattr("soundstream.cli.commands.app", fail)
    monkeypatch.setattr("soundstream.cli.commands.ending_cleanly", lambda: None)
    with pytest.raises(SystemExit, match="1"), warnings.catch_warnings():
        main()
    assert capsys.readouterr() == ("", "error: talk.wav: Input/output error\n")


def test_times_may_have_minutes(run, encode):
    encode("talk.wav")
    for text in ("0.2", "0:0.2", "0:00:00.2"):
        run("decode", "talk.nac", "--from", text, "-o", "x.wav", "--force")
        assert soundfile.info("x.wav").frames == 15_001 - round(0.2 * RATE)


@pytest.mark.parametrize("text", ["-1", "1:60", "1:2:3:4", "soon", "nan", "inf", "1:-2", ""])
def test_other_times_are_refused(run, encode, text):
    encode("talk.wav")
    with pytest.raises(Exception, match="is no time"):
        run("decode", "talk.nac", f"--from={text}", "-o", "x.wav")


# a codec in other processes


def test_a_codec_is_pickled_and_copied_by_its_id(codec):
    data = pickle.dumps(codec)
    assert len(data) < 1000
    first = pickle.loads(data)
    assert first.model_id == codec.model_id
    for again in (pickle.loads(data), copy.copy(first), copy.deepcopy({"codec": first})["codec"]):
        assert again is first


def test_a_pickled_codec_whose_folder_is_gone_is_found_by_its_id(tiny_artifact, tmp_path, monkeypatch):
    shutil.copytree(tiny_artifact, tmp_path / "moving")
    data = pickle.dumps(load(tmp_path / "moving"))
    (tmp_path / "moving").rename(tmp_path / "moved")
    with pytest.raises(ModelMismatch, match="SOUNDSTREAM_MODELS"):
        pickle.loads(data)
    monkeypatch.setenv("SOUNDSTREAM_MODELS", str(tmp_path / "moved"))
    assert pickle.loads(data) is load(tmp_path / "moved")


# the bit rate


def test_a_model_without_the_usual_rate_has_the_one_below_it(talk, tiny_artifact, monkeypatch):
    codec = load(tiny_artifact)
    for counts, bitrate in (((1, 3, 4), 3000), ((8,), 6000), ((2, 8), 6000)):
        spec = dataclasses.replace(codec.spec, counts=counts)
        monkeypatch.setattr(codec, "spec", spec)
        monkeypatch.setattr(codec.model, "spec", spec)
        assert Reader(io.BytesIO(codec.encode(np.zeros(700), 24_000))).header.bitrate == bitrate
        assert codec.to_codes(np.zeros(700), 24_000).shape[0] == bitrate // 750
        assert EncodeOptions().rates(spec) == (bitrate, bitrate)
    encode_file(talk, "talk.nac", model=tiny_artifact)
    assert info("talk.nac").nominal_bitrate == 6000
