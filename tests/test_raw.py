"""Headerless sound, of files and of pipes."""

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from soundstream import AudioError, ConfigError, IncompleteAudio, audio, load
from soundstream.audio import Raw
from soundstream.codec import encode_file

RATE = 16_000
PCM = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 3 * RATE // 2)).astype(np.float32)
SUBTYPES = {
    "u8": "PCM_U8",
    "s8": "PCM_S8",
    "s16": "PCM_16",
    "s24": "PCM_24",
    "s32": "PCM_32",
    "f32": "FLOAT",
    "f64": "DOUBLE",
    "ulaw": "ULAW",
    "alaw": "ALAW",
}


def headerless(pcm=PCM, subtype="PCM_16", endian="LITTLE"):
    stream = io.BytesIO()
    soundfile.write(stream, pcm.T, RATE, subtype, endian, "RAW")
    return stream.getvalue()


def read(data, raw):
    with audio.open_reader(io.BytesIO(data), raw) as reader:
        blocks = np.concatenate([np.zeros((reader.channels, 0), np.float32), *reader], axis=1)
    assert (reader.sample_rate, reader.num_samples) == (RATE, blocks.shape[1])
    return blocks


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("16000", Raw(16_000, 2, "s16")),
        ("48000:1", Raw(48_000, 1, "s16")),
        ("8000:1:ulaw", Raw(8000, 1, "ulaw")),
        ("44100:8:f32", Raw(44_100, 8, "f32")),
        ("44100:2:s24le", Raw(44_100, 2, "s24")),
        ("44100:2:s24be", Raw(44_100, 2, "s24", big_endian=True)),
    ],
)
def test_what_is_said_of_raw_sound(text, raw):
    assert Raw.parse(text, channels=2) == raw


@pytest.mark.parametrize("text", ["", "s16", "16000:s16", "16000:1:s17", "16000:1:s16:3", "16000.5", "-1", "16000:1:"])
def test_what_is_not_understood_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"such as 16000:1:s16, with one of u8, .*alaw"):
        Raw.parse(text)


@pytest.mark.parametrize("text", ["4000", "16000:0", "16000:9"])
def test_what_the_codec_does_not_take_is_refused(text):
    with pytest.raises(AudioError, match="expected"):
        Raw.parse(text)


@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@pytest.mark.parametrize("encoding", SUBTYPES)
def test_every_encoding_is_read(encoding, endian):
    found = read(headerless(subtype=SUBTYPES[encoding], endian=endian), Raw(RATE, 2, encoding, endian == "BIG"))
    assert found.shape == PCM.shape
    np.testing.assert_allclose(found, PCM, atol=0.02 if encoding in ("u8", "s8", "ulaw", "alaw") else 2**-14)


def test_half_a_sample_at_the_end_is_told():
    with pytest.warns(
        IncompleteAudio, match=r"behind 1\.50 s: it ends with 3 bytes of a sample; is its format right\?"
    ):
        assert read(headerless() + b"abc", Raw(RATE, 2)).shape == PCM.shape


def test_floats_that_are_no_samples_are_refused():
    with pytest.raises(AudioError, match="times full scale"):
        read(headerless(1000 * PCM, "FLOAT"), Raw(RATE, 2, "f32"))


def test_a_raw_file_gives_the_nac_of_the_same_wav(tmp_path, tiny_artifact):
    (tmp_path / "talk.raw").write_bytes(headerless())
    soundfile.write(tmp_path / "talk.wav", PCM.T, RATE, "PCM_16")
    for name, raw in (("talk.raw", "16000:2:s16"), ("talk.wav", None)):
        encode_file(tmp_path / name, tmp_path / f"{name}.nac", 1500, model=tiny_artifact, raw=raw)
    assert (tmp_path / "talk.raw.nac").read_bytes() == (tmp_path / "talk.wav.nac").read_bytes()


def test_raw_sound_comes_from_a_pipe(tmp_path, tiny_artifact):
    command = [sys.executable, "-m", "soundstream", "encode", "-", "--raw", "16000:2:s16", "--bitrate", "1500"]
    data = subprocess.run(
        [*command, "--model", tiny_artifact], input=headerless(), capture_output=True, check=True
    ).stdout
    codec = load(tiny_artifact)
    expected = codec.decode(codec.encode(read(headerless(), Raw(RATE, 2)), RATE, 1500))
    found = codec.decode(data)
    assert found[1] == expected[1] == RATE
    np.testing.assert_array_equal(found[0], expected[0])
