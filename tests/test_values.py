"""Values of a wrong type or range are refused by a name and a sentence, in Python and on the command line."""

import numpy as np
import pytest
import soundfile

from soundstream import ConfigError, InputError, decode_file, encode_file, load

PCM = np.random.default_rng(0).normal(0, 0.1, 12_000).astype(np.float32)


@pytest.fixture
def files(tmp_path, monkeypatch, codec):
    """A folder with talk.nac, of half a second."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.nac").write_bytes(codec.encode(PCM, 24_000))
    return tmp_path


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"date": 2026}, "a tag holds 2026; expected text, such as '2026'"),
        ({7: "seven"}, "a tag holds 7; expected text, such as '7'"),
        ("artist", "tags are 'artist'; expected a dictionary"),
        (3, "tags are 3; expected a dictionary"),
    ],
)
def test_tags_that_are_no_text_by_name(codec, tags, said):
    with pytest.raises(ConfigError, match=said):
        codec.encode(PCM, 24_000, tags=tags)


@pytest.mark.parametrize("denoise", ["much", None, float("nan"), -0.1, 1.1])
def test_denoise_that_is_no_share(codec, denoise):
    with pytest.raises(ConfigError, match=r"denoise is .*; expected 0 to 1"):
        codec.encode(PCM, 24_000, denoise=denoise)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", None])
def test_threads_that_are_no_number_of_them(tiny_artifact, threads):
    with pytest.raises(ConfigError, match=r"threads is .*; expected a whole number from 1 on"):
        load(tiny_artifact, threads).encode(PCM, 24_000)


@pytest.mark.parametrize("start_s", [-1.0, float("nan"), float("inf"), "1:30", None])
def test_a_start_that_is_no_time(files, tiny_artifact, start_s):
    with pytest.raises(ConfigError, match=r"the start is .*; expected seconds from 0 on"):
        decode_file("talk.nac", "talk.wav", start_s=start_s, model=tiny_artifact)
    assert not (files / "talk.wav").exists()


@pytest.mark.parametrize(("bits", "subtype"), [(16, "PCM_16"), (24, "PCM_24"), ("24", "PCM_24"), ("float", "FLOAT")])
def test_bits_may_be_a_number(files, tiny_artifact, bits, subtype):
    decode_file("talk.nac", "talk.wav", bits=bits, model=tiny_artifact)
    assert soundfile.info("talk.wav").subtype == subtype


@pytest.mark.parametrize("transfer", [encode_file, decode_file])
def test_a_file_without_a_name(tiny_artifact, transfer):
    with pytest.raises(InputError, match="'' is no name of a file"):
        transfer("", model=tiny_artifact)


@pytest.mark.parametrize("words", [("encode", ""), ("decode", ""), ("encode", "", "-o", "out/")])
def test_a_file_without_a_name_on_the_command_line(tmp_path, tiny_artifact, command, words):
    done = command([*words, "--model", tiny_artifact], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"error: '' is no name of a file\n")
