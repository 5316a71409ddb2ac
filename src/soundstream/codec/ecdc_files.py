"""EnCodec's own files to `.nac` and back, code by code: no sound is decoded."""

from __future__ import annotations

from pathlib import Path

from soundstream.bitstream import ecdc
from soundstream.codec.code_files import CodedAudio, codes_of_nac, write_coded
from soundstream.codec.codec import load
from soundstream.errors import ConfigError, ModelMismatch
from soundstream.spec import CodecSpec
from soundstream.system.files import FilePath, atomic_output, check_not_input, named, open_input

SUFFIX = ".ecdc"


def convert_file(source: FilePath, output: FilePath, *, model: FilePath, force: bool = False) -> None:
    """Make a `.nac` file of an `.ecdc` file, or the other way round, with the same codes.

    Args:
        model: an artifact of EnCodec's 24 kHz weights. The `.ecdc` file does not say which weights it was made with.
        force: replace an output that exists.
    Raises:
        ConfigError: not exactly one of the names ends in .ecdc, the other one in .nac, or the model has other codes.
        AudioError, BitstreamError: the source cannot be read, or holds what the output cannot.
        OutputError: the output exists already, is the source, or cannot be written.
    """
    check_not_input(output, source)
    names = {Path(name).suffix.lower() for name in (source, output)}
    if names != {SUFFIX, ".nac"}:
        raise ConfigError(f"convert goes from {SUFFIX} to .nac or back; one of the names has to end in each")
    _check_model(load(model).spec)
    convert = _to_nac if Path(source).suffix.lower() == SUFFIX else _to_ecdc
    convert(source, output, model, force)


def _to_nac(source: FilePath, output: FilePath, model: FilePath, force: bool) -> None:
    with named(str(source)), open_input(source) as stream:
        found = ecdc.parse(stream.read())
        if found.kind != ecdc.MONO:
            raise ConfigError(f"it is of {found.kind.name}; only files of {ecdc.MONO.name} become .nac")
    coded = CodedAudio(found.codes[None], ecdc.MONO.sample_rate, found.num_samples)
    write_coded(coded, source, output, model=model, force=force)


def _to_ecdc(source: FilePath, output: FilePath, model: FilePath, force: bool) -> None:
    coded = codes_of_nac(source, None, model)
    if len(coded.codes) > 1 or coded.sample_rate != ecdc.MONO.sample_rate or coded.lead_in:
        raise ConfigError(
            f"{source}: {SUFFIX} holds whole mono sound at {ecdc.MONO.sample_rate:,} Hz; encode the sound anew"
        )
    assert coded.num_samples is not None
    with atomic_output(output, force) as file:
        file.write(ecdc.pack(ecdc.Ecdc(coded.codes[0], coded.num_samples)))


def _check_model(spec: CodecSpec) -> None:
    size, count = 2**10, spec.num_quantizers
    if (spec.sample_rate, spec.hop_length, spec.codebook_size, count) != (ecdc.MONO.sample_rate, ecdc.HOP, size, 32):
        raise ModelMismatch(
            "the model is not EnCodec's for 24 kHz; make one with `soundstream import encodec 24khz`, and give --model"
        )
