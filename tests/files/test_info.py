"""Tags of a source, and what a file says of itself."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundstream import AudioError, AudioWarning, BadMagic, audio, info
from soundstream.audio.ffmpeg import _tags
from soundstream.bitstream import Header, Reader, Writer
from soundstream.codec.editing import cat

RATE = 44_100


# tags of the source


META = {"title": "Été ☃", "artist": "Anna", "album": "Alb", "date": "1999", "genre": "Jazz", "comment": "hm"}


def tagged(name, rate=48_000, **more):
    """A tenth of a second with tags, as other programs write it."""
    subtype = "OPUS" if name.endswith(".opus") else None
    form = "OGG" if name.endswith(".opus") else None
    with soundfile.SoundFile(name, "w", rate, 1, subtype, format=form) as sound:
        for tag, value in (META | more).items():
            setattr(sound, tag, value)
        sound.write(np.random.default_rng(0).normal(0, 0.1, rate // 10))


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.opus", "a.wav"])
def test_tags_of_the_source_go_into_the_file_and_out_of_it(talk, encode, decode, name):
    tagged(name, software="a program")
    encode(name, "a.nac")
    found = info("a.nac").tags
    assert found == META and list(found) == [tag for tag in audio.TAGS if tag in META]
    decode("a.nac", "back.flac")
    with soundfile.SoundFile("back.flac") as sound:
        assert sound.copy_metadata() == META and sound.frames == 4800


def test_tags_of_mp3_and_of_what_needs_ffmpeg(talk, encode):
    av = pytest.importorskip("av")
    for name, coder in (("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.mka", "libopus")):
        with av.open(name, "w") as container:
            container.metadata.update(META | {"track": "3/9", "composer": "C"})
            stream = container.add_stream(coder, rate=48_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 48_000
            for part in (*av.AudioResampler(stream.format, "mono", 48_000).resample(frame), None):
                container.mux(stream.encode(part))
        encode(name, "a.nac", force=True)
        comment = set() if name == "a.mp3" else {"comment"}  # libsndfile does not read that of ID3
        expected = {k: v for k, v in (META | {"tracknumber": "3/9"}).items() if k != "comment" or comment}
        assert info("a.nac").tags == expected


def test_what_ffmpeg_logs_of_an_input_are_its_tags():
    log = """[info] Input #0, mov,mp4,m4a, from 'file:x.m4a':
[info]   Metadata:
[info]     major_brand     : M4A
[info]     title           : Song: the first
[info]     track           : 2
[info]   Duration: 00:00:01.02, start: 0.000000, bitrate: 83 kb/s
[info]   Stream #0:0[0x1](und): Audio: aac (LC), 44100 Hz, mono, fltp, 69 kb/s (default)
[info]     Metadata:
[info]       handler_name    : SoundHandler
[info] Output #0, wav, to 'pipe:1':
[info]     artist          : nobody"""
    assert _tags(log.splitlines()) == {"title": "Song: the first", "tracknumber": "2"}


def test_tags_that_are_given_replace_those_of_the_source(talk, encode, run):
    tagged("a.flac")
    encode("a.flac", "a.nac", tags={"Title": "Other", "mood": "calm"})
    assert info("a.nac").tags == {k: v for k, v in META.items() if k != "title"} | {"Title": "Other", "mood": "calm"}
    run("encode", "a.flac", "--no-tags", "--tag", "mood=calm", "-o", "b.nac")
    assert info("b.nac").tags == {"mood": "calm"}


def test_a_tag_that_is_too_long_is_left_out_and_told_of(talk, encode):
    tagged("a.flac", comment="x" * 5000)
    with pytest.warns(AudioWarning, match=r"a\.flac: .*tag comment of 5,000 bytes"):
        encode("a.flac", "a.nac")
    assert "comment" not in info("a.nac").tags and info("a.nac").tags["title"] == META["title"]


# info


def test_info_tells_rates_of_all_channels_and_of_each(talk, encode, tiny_artifact, monkeypatch):
    encode(talk, "a.nac")
    found = info("a.nac")
    size = Path("a.nac").stat().st_size
    assert found.bytes == size and found.bitrate == round(8 * size * RATE / 15_001)
    assert found.bitrate_per_channel == round(8 * size * RATE / 15_001 / 2)
    assert (found.nominal_bitrate, found.max_bitrate, found.model_name) == (1500, 1500, None)
    monkeypatch.setenv("SOUNDSTREAM_MODELS", str(tiny_artifact))
    assert info("a.nac").model_name == tiny_artifact.name
    assert info(Path("a.nac").read_bytes()) == info("a.nac")


def test_info_tells_the_mean_of_a_variable_rate_and_its_ceiling(codec):
    files = [codec.encode(np.zeros(24_000), 24_000, bitrate) for bitrate in (3000, 1500)]
    stream = io.BytesIO()
    cat(codec, [Reader(io.BytesIO(data)) for data in files], stream)
    found = info(stream.getvalue())
    assert (found.nominal_bitrate, found.max_bitrate, found.num_quantizers) == (2250, 3000, [2, 4])


def test_info_names_models_that_were_shipped_once():
    stream = io.BytesIO()
    Writer(stream, Header(bytes.fromhex("c3f89d3687721975"), 24_000, 1, 24_000, 320, 10, 8)).finish(0)
    found = info(stream.getvalue())
    assert found.model_name == "`light` of release 0.1.0"
    assert (found.bitrate, found.duration_s, found.nominal_bitrate) == (None, 0, 6000)


def test_info_of_what_is_no_file_names_it(talk):
    with pytest.raises(BadMagic, match=r"talk\.wav"):
        info("talk.wav")
    with pytest.raises(AudioError, match=r"gone\.nac"):
        info(Path("gone.nac"))
