"""Formats that libsndfile does not read: through PyAV, through ffmpeg, or with a word on what would help."""

import io
import os
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import audio_files as made
from audio_files import RATE, media, sound
from soundstream import AudioError, IncompleteAudio, audio

pytest.importorskip("av", reason="the files are made with PyAV")

FFMPEG = shutil.which("ffmpeg")
STUB = """#!{python}
import struct, sys
import av
path = sys.argv[sys.argv.index("-i") + 1]
assert path.startswith("file:") and sys.argv[sys.argv.index("-format_whitelist") + 1]
out = sys.stdout.buffer
try:
    container = av.open(path.removeprefix("file:"))
except av.error.FFmpegError as error:
    print(f"[in#0 @ 0x1] [error] Error opening input: {{error.strerror}}", file=sys.stderr)
    sys.exit(183)
print(f"[info]   Duration: 00:00:{{container.duration / 1e6:05.2f}}, start: 0.000000", file=sys.stderr)
print("[aist#0:0 @ 0x2] [warning] a word", file=sys.stderr)
resampler, begun = av.AudioResampler("flt"), False
for packet in container.demux(audio=0):
    try:
        frames = packet.decode()
    except av.error.FFmpegError:
        print("[aac @ 0x3] [error] Input buffer exhausted", file=sys.stderr)
        continue
    for frame in frames:
        if not begun:
            channels, rate, begun = frame.layout.nb_channels, frame.sample_rate, True
            form = struct.pack("<HHIIHH", 3, channels, rate, 4 * channels * rate, 4 * channels, 32)
            out.write(b"RIFF" + b"\\xff" * 4 + b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + b"\\xff" * 4)
        for part in resampler.resample(frame):
            out.write(part.to_ndarray().tobytes())
"""


@pytest.fixture
def without_pyav(monkeypatch, tmp_path):
    """As if PyAV were not installed, with nothing on the path."""
    monkeypatch.setitem(sys.modules, "soundstream.audio.pyav", None)
    monkeypatch.delattr(audio, "pyav", raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture(params=["a stand-in", FFMPEG])
def with_ffmpeg(request, without_pyav, tmp_path):
    """The same with ffmpeg on the path: the real one, if it is there, and a small one of our own."""
    program = tmp_path / "bin" / "ffmpeg"
    if request.param is None:
        pytest.skip("there is no ffmpeg")
    if request.param == "a stand-in":
        program.write_text(STUB.format(python=sys.executable))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    else:
        program.symlink_to(request.param)


def read(source):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        pcm, rate = audio.read(source)
    assert all(warning.category is IncompleteAudio for warning in said)
    return pcm, rate, [str(warning.message) for warning in said]


M4A = {"container": "ipod", "codec": "aac"}
WEBM = {"container": "webm", "codec": "libopus", "rate": 48_000}
KINDS = [M4A, WEBM, {"container": "ipod", "codec": "alac", "channels": 2}, {"container": "adts", "codec": "aac"}]


@pytest.mark.parametrize("options", KINDS, ids=lambda options: "-".join(map(str, options.values())))
@pytest.mark.usefixtures("with_ffmpeg")
def test_ffmpeg_gives_what_the_second_decoder_finds(options):
    expected, expected_rate = made.second_decoder(media(**options))
    pcm, rate, said = read(io.BytesIO(media(**options)))
    assert (rate, pcm.shape[0], said) == (expected_rate, expected.shape[0], [])
    assert 0 <= expected.shape[1] - pcm.shape[1] <= 1024  # the program leaves out what an encoder added at the end
    np.testing.assert_allclose(pcm, expected[:, : pcm.shape[1]], atol=1e-4)


@pytest.mark.usefixtures("with_ffmpeg")
def test_ffmpeg_is_given_the_file_itself_where_it_has_a_name(tmp_path, monkeypatch):
    (tmp_path / "-i http:name.m4a").write_bytes(media(**M4A))
    monkeypatch.chdir(tmp_path)
    assert read("-i http:name.m4a")[0].shape == read(io.BytesIO(media(**M4A)))[0].shape


@pytest.mark.usefixtures("with_ffmpeg")
def test_ffmpeg_is_ended_with_its_reader(monkeypatch):
    started = []
    begin = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *words, **options: started.append(begin(*words, **options)) or started[-1]
    )
    with audio.open_reader(io.BytesIO(media(**M4A, seconds=60.0))) as reader:
        block = next(iter(reader))
    assert block.shape == (1, pytest.approx(RATE, abs=1024))
    assert len(started) == 1 and started[0].returncode is not None


@pytest.mark.usefixtures("with_ffmpeg")
def test_what_ffmpeg_complains_of_is_told():
    pcm, rate, said = read(io.BytesIO(media(container="adts", codec="aac")[:12_000]))
    assert pcm.shape[1] / rate == pytest.approx(1.4, abs=0.1)
    assert len(said) == 1 and "may be missing behind 1.41 s: ffmpeg says: Input buffer exhausted" in said[0]


@pytest.mark.usefixtures("with_ffmpeg")
def test_what_ffmpeg_cannot_read_either_is_refused():
    with pytest.raises(AudioError, match=r"is MPEG-4 \(m4a, mp4, mov\) \(.*\); get a whole copy"):
        audio.read(io.BytesIO(media(**M4A)[:9000]))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (media(**M4A), "is MPEG-4 (m4a, mp4, mov), which needs PyAV (pip install 'soundstream-codec[media]') or"),
        (media(**WEBM), "is Matroska or WebM, which needs PyAV"),
        (media("asf", "wmav2", rate=44_100, bit_rate=96_000), "is Windows Media (wma, wmv), which needs"),
        (media("adts", "aac"), "is AAC, which needs"),
        (b"RIFF\0\0\0\0AVI LIST", "is AVI, which needs"),
        (media("wv", "wavpack"), "is WavPack, which needs"),
        (media("wav", "g722", rate=16_000), "is WAV with a codec of its own, which needs"),
        (
            b"no audio at all",
            "WAV, FLAC, Ogg Vorbis, Ogg Opus, MP3 or AIFF; m4a, mp4, webm, mkv, wma and others need PyAV",
        ),
    ],
    ids=["m4a", "webm", "wma", "aac", "avi", "wavpack", "g722", "text"],
)
@pytest.mark.usefixtures("without_pyav")
def test_without_either_it_is_said_what_would_help(data, said):
    with pytest.raises(AudioError) as caught:
        audio.read(io.BytesIO(data))
    assert said in str(caught.value) and "the program ffmpeg on the path" in str(caught.value)


WAV = sound("WAV", "PCM_16")
BROKEN = {
    "cut in its header": WAV[:40],
    "without a format": WAV[:12] + WAV[36:],
    "without samples": WAV[:36],
    "of no channels": WAV[:22] + bytes(2) + WAV[24:],
    "of no bits": WAV[:34] + bytes(2) + WAV[36:],
    "of 0 Hz": WAV[:24] + bytes(4) + WAV[28:],
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("decoder", [None, "without_pyav", "with_ffmpeg"])
def test_a_wav_with_a_broken_header_is_called_that(request, name, decoder):
    if decoder == "with_ffmpeg":
        request.getfixturevalue("without_pyav")
        Path(os.environ["PATH"], "ffmpeg").symlink_to(FFMPEG or pytest.skip("there is no ffmpeg"))
    elif decoder:
        request.getfixturevalue(decoder)
    with pytest.raises(AudioError, match=r"is WAV with a header that is cut or damaged \(.+\); get a whole copy$"):
        audio.read(io.BytesIO(BROKEN[name]))


class Refusing:
    """A resampler that cannot take the third frame, as FFmpeg's cannot take one of a damaged form."""

    def __init__(self, *words):
        self.real, self.taken = REAL_RESAMPLER(*words), 0

    def resample(self, frame):
        self.taken += 1
        if self.taken == 3:
            raise made.av.error.ArgumentError(22, "Invalid argument")
        return self.real.resample(frame)


REAL_RESAMPLER = made.av.AudioResampler


def test_a_frame_that_cannot_be_converted_is_told_of(monkeypatch):
    monkeypatch.setattr(made.av, "AudioResampler", Refusing)
    pcm, _, said = read(io.BytesIO(media(**M4A)))
    monkeypatch.undo()
    assert pcm.shape == (1, read(io.BytesIO(media(**M4A)))[0].shape[1] - 1024)
    assert len(said) == 1 and "something there cannot be decoded" in said[0]


def video_without_sound():
    stream = io.BytesIO()
    with made.av.open(stream, "w", format="matroska") as file:
        track = file.add_stream("mpeg4", rate=25)
        track.width, track.height, track.pix_fmt = 16, 16, "yuv420p"
        file.mux(track.encode(made.av.VideoFrame.from_ndarray(np.zeros((24, 16), np.uint8), "yuv420p")))
        file.mux(track.encode(None))
    return stream.getvalue()


def test_a_video_without_sound_is_no_damaged_file():
    with pytest.raises(AudioError, match=r"is Matroska or WebM \(it holds no sound\)$"):
        audio.read(io.BytesIO(video_without_sound()))


@pytest.mark.skipif(not FFMPEG, reason="there is no ffmpeg")
@pytest.mark.usefixtures("without_pyav")
def test_what_ffmpeg_says_is_told_in_short():
    Path(os.environ["PATH"], "ffmpeg").symlink_to(FFMPEG)
    for data, said in (
        (video_without_sound(), "is Matroska or WebM (it holds no sound)"),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n", "(Format not among those that are opened); expected WAV"),
        (WAV[:20], "damaged (Invalid data found when processing input); get a whole copy"),
    ):
        with pytest.raises(AudioError) as caught:
            audio.read(io.BytesIO(data))
        assert said in str(caught.value)


@pytest.mark.usefixtures("without_pyav")
def test_what_libsndfile_reads_needs_neither():
    for kind, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")):
        assert read(io.BytesIO(sound(kind, subtype)))[0].shape == (1, 55_200)
    assert read(io.BytesIO(media("ogg", "flac")))[0].shape == (1, 55_200)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2,\nother.ts\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile other.ts\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_opens_no_other_file(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    Path("other.ts").write_bytes(media("mpegts", "mp2", rate=48_000, bit_rate=128_000))
    Path("list.m3u8").write_text(PLAYLISTS[kind])
    with made.av.open("list.m3u8") as file:
        assert next(file.decode(audio=0)).samples
    with pytest.raises(AudioError, match="not audio that can be read"):
        audio.read("list.m3u8")


def test_blocks_of_a_long_file_are_about_a_second():
    with audio.open_reader(io.BytesIO(media(**M4A, seconds=20.0))) as reader:
        assert reader.num_samples is None
        lengths = [block.shape[1] for block in reader]
    assert max(lengths) <= RATE + 1024 and sum(lengths) == pytest.approx(20 * RATE, abs=2 * 1024)


def test_a_video_is_heard(tmp_path):
    path = tmp_path / "film.mkv"
    with made.av.open(str(path), "w") as file:
        picture, track = file.add_stream("mpeg4", rate=10), file.add_stream("flac", rate=RATE)
        picture.width = picture.height = 64
        track.layout = "mono"
        for number in range(30):
            frame = made.av.VideoFrame.from_ndarray(np.full((64, 64, 3), 8 * number, np.uint8), "rgb24")
            file.mux(picture.encode(frame))
            part = made.av.AudioFrame.from_ndarray(np.zeros((1, RATE // 10), np.int16), "s16", "mono")
            part.sample_rate, part.pts = RATE, number * RATE // 10
            file.mux(track.encode(part))
        file.mux(picture.encode(None))
        file.mux(track.encode(None))
    pcm, rate, said = read(path)
    assert (pcm.shape, rate, said) == ((1, 3 * RATE), RATE, [])


def test_every_suffix_of_a_folder_is_in_lower_case_and_known():
    assert {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".m4a", ".mp4", ".webm"} <= audio.SUFFIXES
    assert all(suffix == suffix.lower() == Path(f"a{suffix}").suffix for suffix in audio.SUFFIXES)
