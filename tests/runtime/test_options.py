"""How audio is to be coded: the same options from Python, commands, files and live sessions."""

import dataclasses
import inspect
import typing

import numpy as np
import pytest
import typer

import soundstream
from soundstream.cli import codes, files, live
from soundstream.codec import Codec
from soundstream.errors import ConfigError
from soundstream.runtime.options import EncodeKeywords, EncodeOptions, option_fields
from soundstream.runtime.stream import EncoderStream
from soundstream.spec import Codebook, CodecSpec, Importance

SPEC = CodecSpec(24_000, 320, 8, (Codebook(1024),) * 8, tuple(range(1, 9)))
TELLING = dataclasses.replace(SPEC, importance=Importance(0.125, 6.0))
FILE_OPTIONS = {"vbr": True, "max_bitrate": 6000, "tags": {"artist": "Anna"}, "entropy": "none", "quality": 1.0}
"""A value of each option that only files have."""


def test_type_checkers_know_every_option():
    hints = typing.get_type_hints(EncodeOptions)
    assert typing.get_type_hints(EncodeKeywords) == {name: hints[name] for name in option_fields() if name != "bitrate"}


@pytest.mark.parametrize("verb", ["encode", "to_codes", "encode_many", "open_encoder", "open_code_encoder"])
def test_every_verb_takes_all_options(verb):
    parameters = inspect.signature(getattr(Codec, verb)).parameters
    assert parameters["options"].annotation == "Unpack[EncodeKeywords]" and "bitrate" in parameters


@pytest.mark.parametrize(("command", "whole"), [(files.encode, True), (codes.codes, False), (live.send, False)])
def test_commands_have_an_option_for_each_field(command, whole):
    wanted = {name for name, (_, told) in option_fields().items() if whole or not told.of_files}
    parameters = inspect.signature(command).parameters
    assert wanted <= set(parameters) and "options" not in parameters
    assert not whole or set(FILE_OPTIONS) == {name for name, (_, told) in option_fields().items() if told.of_files}
    app = typer.Typer()
    app.command()(command)
    flags = {flag for one in typer.main.get_command(app).params for flag in one.opts}
    assert {"--" + {"tags": "tag"}.get(name, name).replace("_", "-") for name in wanted} <= flags


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bitrate": 700}, "bitrate 700 bit/s is not supported"),
        ({"denoise": 0.5}, "not trained to remove noise"),
        ({"effort": 65}, "effort is 65"),
        ({"max_bitrate": 3000}, "goes with a variable rate"),
        ({"vbr": True, "max_bitrate": 700}, "bitrate 700 bit/s is not supported"),
    ],
    ids=str,
)
def test_what_a_codec_does_not_have_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        EncodeOptions(**change).check(SPEC)


@pytest.mark.parametrize(
    ("change", "spec", "words"),
    [
        ({"quality": 1.0}, SPEC, r"does not tell how many codebooks a frame needs; leave out the quality"),
        ({"quality": 0.1}, TELLING, "quality is 0.1; expected 0.125 to 6"),
        ({"quality": float("nan")}, TELLING, "quality is nan"),
        ({"quality": True}, TELLING, "quality is True"),
        ({"quality": 1.0, "vbr": True}, TELLING, "the one follows from the other"),
        ({"quality": 1.0, "bitrate": 6000}, TELLING, "the one follows from the other"),
    ],
    ids=str,
)
def test_a_quality_goes_with_a_codec_that_tells_what_frames_need_and_with_no_size(change, spec, words):
    with pytest.raises(ConfigError, match=words):
        EncodeOptions(**change).check(spec)


def test_a_quality_may_have_a_highest_rate():
    most = TELLING.bitrate(8)
    assert EncodeOptions(quality=1.0).rates(TELLING) == (most, most)
    assert EncodeOptions(quality=1.0, max_bitrate=TELLING.bitrate(5)).rates(TELLING)[1] == TELLING.bitrate(5)


@pytest.mark.parametrize("name", FILE_OPTIONS)
def test_codes_and_live_packets_refuse_what_files_have(name, tiny_artifact):
    codec = soundstream.load(tiny_artifact)
    options = {name: FILE_OPTIONS[name]}
    with pytest.raises(ConfigError, match=f"{name} is an option of files"):
        codec.to_codes(np.zeros(700), 24_000, **options)
    for opened in (codec.open_code_encoder, codec.open_encoder):
        with pytest.raises(ConfigError, match=f"{name} is an option of files"):
            opened(24_000, **options)


def test_an_unknown_option_is_refused(tiny_artifact):
    with pytest.raises(TypeError, match="denois"):
        soundstream.load(tiny_artifact).encode(np.zeros(700), 24_000, denois=1.0)


def test_a_variable_rate_is_had_in_memory_too(tiny_artifact):
    codec, pcm = soundstream.load(tiny_artifact), np.random.default_rng(0).normal(0, 0.2, 48_000)
    data = codec.encode(pcm, 24_000, 3000, vbr=True, max_bitrate=4500, tags={"artist": "Anna"})
    found = soundstream.info(data)
    assert (found.max_bitrate, found.tags, found.num_samples) == (4500, {"artist": "Anna"}, 48_000)
    assert found.nominal_bitrate <= 3000


def test_options_may_change_in_the_middle_of_a_stream(tiny_artifact):
    model = soundstream.load(tiny_artifact).model
    stream = EncoderStream(model, 1, EncodeOptions(1500, effort=1))
    pcm = np.zeros((1, 10 * model.spec.hop_length), np.float32)
    first = stream.push(pcm)
    stream.options = EncodeOptions(3000, effort=1)
    assert (first.shape[1], stream.push(pcm).shape[1]) == (2, 4)
    with pytest.raises(ConfigError, match="bitrate 100"):
        stream.options = EncodeOptions(100)
    assert stream.options.bitrate == 3000
