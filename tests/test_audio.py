import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from soundstream.audio import Resampler, check, open_reader, open_writer, read, resample, resampled_length
from soundstream.audio.wav import WavPipe
from soundstream.errors import AudioError, OutputError

RATES = [
    (44_100, 24_000),
    (8_000, 24_000),
    (192_000, 24_000),
    (11_025, 24_000),
    (48_000, 24_000),
    (24_000, 44_100),
    (24_000, 8_000),
    (24_000, 192_000),
    (96_001, 24_000),
    (24_000, 24_000),
]


def noise(channels, samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (channels, samples)).astype(np.float32)


def write_file(path, pcm, sample_rate=24_000, subtype=None):
    soundfile.write(path, pcm.T, sample_rate, subtype)
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# check


def test_float_audio_passes_unchanged():
    pcm = noise(2, 100)
    np.testing.assert_array_equal(check(pcm, 24_000), pcm)


@pytest.mark.parametrize(("dtype", "low"), [(np.int16, -(2**15)), (np.int32, -(2**31))], ids=["int16", "int32"])
def test_integers_are_divided_by_full_scale(dtype, low):
    pcm = check(np.array([low, 0, -(low // 2)], dtype), 24_000)
    assert pcm.dtype == np.float32
    np.testing.assert_array_equal(pcm, [[-1, 0, 0.5]])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_floats_become_float32(dtype):
    pcm = check(np.array([0.5, -0.25], dtype), 24_000)
    assert pcm.dtype == np.float32
    np.testing.assert_array_equal(pcm, [[0.5, -0.25]])


@pytest.mark.parametrize("samples", [0, 1])
def test_next_to_nothing_is_audio(samples):
    assert check(np.zeros(samples), 8_000).shape == (1, samples)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_the_message_says_which_sample_is_not_finite(value):
    pcm = np.zeros((2, 10))
    pcm[1, 7] = value
    with pytest.raises(AudioError, match="at sample 7 of channel 1"):
        check(pcm, 24_000)


@pytest.mark.parametrize(
    ("pcm", "sample_rate", "message"),
    [
        (np.zeros((9, 4)), 24_000, "9 channels"),
        (np.zeros((0, 4)), 24_000, "0 channels"),
        (np.zeros((1, 1, 4)), 24_000, "shape"),
        (np.zeros(4), 7_999, "7999 Hz"),
        (np.zeros(4), 192_001, "192001 Hz"),
        (np.zeros(4), 24_000.5, "24000.5 Hz"),
        (np.zeros(4, np.complex64), 24_000, "complex64"),
        (np.zeros(4, np.uint8), 24_000, "uint8"),
        (np.array(["loud"]), 24_000, "type"),
    ],
)
def test_what_is_not_codable_is_refused(pcm, sample_rate, message):
    with pytest.raises(AudioError, match=message):
        check(pcm, sample_rate)


# reading


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
def test_files_are_read_exactly(tmp_path, suffix):
    pcm = np.round(noise(2, 60_001) * 2**15) / 2**15
    found, sample_rate = read(write_file(tmp_path / f"a.{suffix}", pcm, 44_100))
    assert (found.dtype, found.shape, sample_rate) == (np.float32, (2, 60_001), 44_100)
    np.testing.assert_allclose(found, pcm, atol=2**-15)


def test_blocks_are_about_a_second(tmp_path):
    path = write_file(tmp_path / "a.wav", noise(1, 20_000), 8_000)
    with open_reader(path) as reader:
        assert (reader.sample_rate, reader.channels, reader.num_samples) == (8_000, 1, 20_000)
        assert [block.shape for block in reader] == [(1, 8_000), (1, 8_000), (1, 4_000)]


@pytest.mark.parametrize(("suffix", "subtype"), [("opus", "OPUS"), ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")])
def test_blocks_of_a_lossy_file_equal_the_whole(tmp_path, suffix, subtype):
    path = tmp_path / f"a.{suffix}"
    with soundfile.SoundFile(path, "w", 24_000, 1, subtype, format="MP3" if suffix == "mp3" else "OGG") as file:
        file.write(noise(1, 60_000).T)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_allclose(read(path)[0], whole.T, atol=1e-6)


def test_a_file_without_samples_is_audio(tmp_path):
    assert read(write_file(tmp_path / "a.wav", noise(2, 0)))[0].shape == (2, 0)


def test_open_files_and_paths_as_text_are_read(tmp_path):
    path = write_file(tmp_path / "a.wav", noise(1, 100), subtype="FLOAT")
    for source in (str(path), io.BytesIO(path.read_bytes())):
        np.testing.assert_array_equal(read(source)[0], noise(1, 100))


def test_stdin_is_read_from_a_pipe(tmp_path, monkeypatch):
    path = write_file(tmp_path / "a.wav", noise(1, 10_000), subtype="FLOAT")
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as process:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(process.stdout))
        np.testing.assert_array_equal(read("-")[0], noise(1, 10_000))


def test_a_wav_from_a_pipe_need_not_know_its_length(tmp_path):
    data = bytearray(write_file(tmp_path / "a.wav", noise(1, 1000)).read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    assert read(io.BytesIO(data))[0].shape == (1, 1000)


def test_a_flac_from_a_pipe_need_not_know_its_length(tmp_path):
    path = write_file(tmp_path / "a.flac", noise(1, 60_000))
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # STREAMINFO: total samples, 36 bits
    with open_reader(io.BytesIO(data)) as reader:
        assert reader.num_samples == 60_000
        np.testing.assert_array_equal(np.concatenate(list(reader), axis=1), read(path)[0])


def test_not_finite_samples_of_a_file_are_counted_from_its_start(tmp_path):
    pcm = noise(1, 20_000)
    pcm[0, 17_000] = np.nan
    path = write_file(tmp_path / "a.wav", pcm, 8_000, "FLOAT")
    with pytest.raises(AudioError, match="sample 17000 "):
        read(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.wav", b"", "is empty; expected WAV, FLAC"),
        ("a.wav", b"no audio at all", "not audio that can be read .*expected WAV, FLAC"),
        ("a.raw", b"1234", "not audio that can be read"),
    ],
    ids=["empty", "text", "headerless"],
)
def test_what_is_no_audio_is_refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AudioError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "message"), [("missing.wav", "No such file"), (".", "directory")])
def test_what_is_no_file_is_refused(tmp_path, name, message):
    with pytest.raises(AudioError, match=f"{tmp_path}.*{message}"):
        read(tmp_path / name)


def test_a_file_that_is_damaged_inside_is_refused(tmp_path):
    data = bytearray(write_file(tmp_path / "a.flac", noise(1, 60_000)).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(AudioError, match=r"a\.flac is damaged behind 1\.00 s .*get a whole copy"):
        read(tmp_path / "a.flac")


@pytest.mark.parametrize(("sample_rate", "channels"), [(7_999, 1), (192_001, 1), (24_000, 9)])
def test_files_outside_the_limits_are_refused(tmp_path, sample_rate, channels):
    path = write_file(tmp_path / "a.wav", noise(channels, 10), sample_rate)
    with pytest.raises(AudioError, match=f"{sample_rate}|{channels} channels"):
        read(path)


# writing


@pytest.mark.parametrize("suffix", ["wav", "flac", "WAV"])
def test_sixteen_bit_files_come_back_exactly(tmp_path, suffix):
    pcm = np.random.default_rng(0).integers(-(2**15), 2**15, (2, 70_000)).astype(np.float32) / 2**15
    path = tmp_path / f"a.{suffix}"
    with open_writer(path, 44_100, 2) as writer:
        writer.write(pcm[:, :100])
        writer.write(pcm[:, 100:])
    assert soundfile.info(path).subtype == "PCM_16"
    found, sample_rate = read(path)
    assert sample_rate == 44_100
    np.testing.assert_array_equal(found, pcm)


def test_vorbis_files_have_every_sample(tmp_path):
    with open_writer(tmp_path / "a.ogg", 24_000, 1) as writer:
        writer.write(np.zeros((1, 100_001), np.float32))
    assert read(tmp_path / "a.ogg")[0].shape == (1, 100_001)


def test_loud_samples_are_clipped(tmp_path):
    with open_writer(tmp_path / "a.wav", 24_000, 1) as writer:
        writer.write(np.array([[3.0, -3.0, 1.0]], np.float32))
    np.testing.assert_array_equal(read(tmp_path / "a.wav")[0] * 2**15, [[2**15 - 1, -(2**15), 2**15 - 1]])


def test_a_failure_leaves_no_file(tmp_path):
    with pytest.raises(KeyError), open_writer(tmp_path / "a.wav", 24_000, 1) as writer:
        writer.write(noise(1, 10))
        raise KeyError
    assert names(tmp_path) == []


def test_an_existing_file_is_replaced_only_with_force(tmp_path):
    path = write_file(tmp_path / "a.wav", noise(1, 10))
    with pytest.raises(OutputError, match="--force"), open_writer(path, 24_000, 1):
        pass
    assert read(path)[0].shape == (1, 10)
    with open_writer(path, 24_000, 1, force=True):
        pass
    assert read(path)[0].shape == (1, 0)


def test_stdout_gets_a_wav_as_it_comes_with_its_length_ahead(monkeypatch):
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output))
    with open_writer("-", 16_000, 1, num_samples=50) as writer:
        assert len(output.getvalue()) == 44
        writer.write(np.full((1, 20), 0.25, np.float32))
        assert len(output.getvalue()) == 44 + 40
        writer.write(np.full((1, 30), 0.25, np.float32))
    sys.stdout.detach()
    assert output.getvalue()[:4] == b"RIFF"
    assert int.from_bytes(output.getvalue()[40:44], "little") == 100
    found, sample_rate = read(io.BytesIO(output.getvalue()))
    assert sample_rate == 16_000
    np.testing.assert_array_equal(found, np.full((1, 50), 0.25))


@pytest.mark.parametrize("name", ["a", "a.mp4"])
def test_unknown_suffixes_are_refused(tmp_path, name):
    with pytest.raises(AudioError, match=r"\.wav, \.flac, \.ogg"), open_writer(tmp_path / name, 24_000, 1):
        pass
    assert names(tmp_path) == []


def test_blocks_with_other_channels_are_refused(tmp_path):
    with pytest.raises(AudioError, match=r"\[2, 4\]"), open_writer(tmp_path / "a.wav", 24_000, 1) as writer:
        writer.write(noise(2, 4))


def test_a_wav_past_its_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("soundstream.audio.write.WAV_BYTES", 400)
    with pytest.raises(AudioError, match=r"\.flac"), open_writer(tmp_path / "a.wav", 24_000, 2) as writer:
        writer.write(noise(2, 100))
        writer.write(noise(2, 1))


def test_a_wav_that_will_pass_its_limit_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("soundstream.audio.write.WAV_BYTES", 400)
    for bits, room in (("16", 100), ("24", 66), ("float", 50)):
        with open_writer(tmp_path / "a.wav", 24_000, 2, force=True, bits=bits, num_samples=room):
            pass
        with (
            pytest.raises(AudioError, match=r"4 GiB.*\.flac"),
            open_writer(tmp_path / "a.wav", 24_000, 2, force=True, bits=bits, num_samples=room + 1),
        ):
            pytest.fail("the file was opened")


@pytest.mark.parametrize(
    ("name", "bits", "subtype", "step"),
    [
        ("a.wav", "24", "PCM_24", 2**-23),
        ("a.wav", "float", "FLOAT", 0),
        ("a.flac", "24", "PCM_24", 2**-23),
        ("a.flac", "16", "PCM_16", 2**-15),
    ],
)
def test_samples_have_the_bits_that_were_asked_for(tmp_path, name, bits, subtype, step):
    pcm = np.append(noise(2, 1000), [[1.0, -1.0], [0.999, -0.999]], axis=1).astype(np.float32)
    with open_writer(tmp_path / name, 24_000, 2, bits=bits) as writer:
        writer.write(pcm)
    assert soundfile.info(tmp_path / name).subtype == subtype
    back = soundfile.read(tmp_path / name, dtype="float64")[0].T
    assert np.abs(back - pcm).max() <= step


def test_bits_that_a_format_does_not_have_are_refused(tmp_path):
    for name, bits, said in (("a.flac", "float", "16, 24"), ("a.ogg", "24", "none"), ("a.wav", "8", "16, 24, float")):
        with pytest.raises(AudioError, match=said), open_writer(tmp_path / name, 24_000, 1, bits=bits):
            pass


@pytest.mark.parametrize("bits", ["16", "24", "float"])
@pytest.mark.parametrize("num_samples", [101, None])
def test_a_wav_for_a_pipe_is_the_same_sound(bits, num_samples):
    pcm, stream = noise(1, 101), io.BytesIO()
    pipe = WavPipe(stream, 24_000, 1, bits, num_samples)
    pipe.write(pcm)
    pipe.finish()
    found, rate = soundfile.read(io.BytesIO(stream.getvalue()), dtype="float64", always_2d=True)
    assert (found.shape, rate) == ((101, 1), 24_000)
    assert num_samples is None or len(stream.getvalue()) % 2 == 0
    assert np.abs(found.T - pcm).max() <= {"16": 2**-15, "24": 2**-23, "float": 0}[bits]


@pytest.mark.parametrize(("name", "rate"), [("a.flac", 44_100), ("a.ogg", 44_100), ("a.opus", 48_000), ("a.wav", 8000)])
def test_tags_go_into_every_format(tmp_path, name, rate):
    tags = {"Title": "Été", "artist": "Anna", "date": "1999", "mood": "calm", "album": ""}
    with open_writer(tmp_path / name, rate, 1, tags=tags) as writer:
        writer.write(noise(1, 5000))
    with soundfile.SoundFile(tmp_path / name) as sound:
        assert sound.frames == 5000
        assert sound.copy_metadata() == {"title": "Été", "artist": "Anna", "date": "1999"}


def test_opus_says_which_rates_it_holds(tmp_path):
    with pytest.raises(AudioError, match="--to"), open_writer(tmp_path / "a.opus", 44_100, 1):
        pass
    assert names(tmp_path) == []


@pytest.fixture
def small_disk():
    """Writing past 50,000 bytes of a file fails."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize(
    ("suffix", "samples"),
    [("wav", 25_100), ("wav", 300_000), ("flac", 26_000), ("flac", 300_000), ("ogg", 186_000)],
)
def test_a_full_disk_is_an_output_error(tmp_path, suffix, samples):
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(OutputError, match=f"cannot write .*{suffix}"), open_writer(path, 24_000, 1) as writer:
        writer.write(noise(1, samples))
    assert names(tmp_path) == []


# resampling


@settings(max_examples=60, deadline=None)
@given(
    rates=st.sampled_from(RATES),
    samples=st.integers(0, 3000),
    channels=st.integers(1, 2),
    chunk=st.integers(1, 3000),
)
def test_chunks_give_the_same_as_the_whole(rates, samples, channels, chunk):
    pcm = noise(channels, samples)
    resampler = Resampler(*rates, channels)
    parts = [resampler.push(pcm[:, i : i + chunk]) for i in range(0, samples, chunk)]
    parts.append(resampler.flush())
    whole = resample(pcm, *rates)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    assert whole.shape == (channels, -(-samples * rates[1] // rates[0]))
    assert whole.dtype == np.float32


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
@pytest.mark.parametrize("samples", [0, 1, 2, 3, 10, 24_001])
def test_the_length_is_rounded_up(from_rate, to_rate, samples):
    expected = resampled_length(samples, from_rate, to_rate)
    assert 0 <= expected * from_rate - samples * to_rate < from_rate
    assert resample(noise(1, samples), from_rate, to_rate).shape == (1, expected)


@given(st.integers(0, 10**12), st.integers(8_000, 192_000), st.integers(8_000, 192_000))
def test_the_way_back_never_falls_short(samples, from_rate, to_rate):
    there = resampled_length(samples, from_rate, to_rate)
    assert resampled_length(there, to_rate, from_rate) >= samples


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_resampling_equals_soxr_without_a_shift(from_rate, to_rate):
    pcm = noise(2, 5000)
    expected = soxr.resample(pcm.T, from_rate, to_rate).T
    found = resample(pcm, from_rate, to_rate)
    assert 0 <= found.shape[1] - expected.shape[1] <= 1
    np.testing.assert_allclose(found[:, : expected.shape[1]], expected, atol=1e-6)


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_a_sine_keeps_its_place_in_time(from_rate, to_rate):
    sine = np.sin(2 * np.pi * 440 * np.arange(from_rate) / from_rate)[None].astype(np.float32)
    found = resample(sine, from_rate, to_rate)[0]
    expected = np.sin(2 * np.pi * 440 * np.arange(to_rate) / to_rate)
    middle = slice(to_rate // 4, 3 * to_rate // 4)
    np.testing.assert_allclose(found[middle], expected[middle], atol=1e-3)


def test_equal_rates_pass_through():
    resampler = Resampler(24_000, 24_000, 1)
    np.testing.assert_array_equal(resampler.push(noise(1, 100)), noise(1, 100))
    assert resampler.flush().shape == (1, 0)
