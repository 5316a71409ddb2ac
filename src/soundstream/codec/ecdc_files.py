"""EnCodec's own files to `.nac` and back, code by code: no sound is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soundstream.bitstream import ecdc
from soundstream.codec.code_files import CodedAudio, codes_of_nac, write_coded
from soundstream.codec.codec import load
from soundstream.errors import ConfigError, ModelMismatch
from soundstream.runtime.side import with_side, without_side
from soundstream.spec import CodecSpec
from soundstream.system.files import FilePath, atomic_output, check_not_input, named, open_input

SUFFIX = ".ecdc"


def convert_file(
    source: FilePath,
    output: FilePath,
    *,
    model: FilePath,
    language: ecdc.LanguageModel | None = None,
    force: bool = False,
) -> None:
    """Make a `.nac` file of an `.ecdc` file, or the other way round, with the same codes and gains.

    Args:
        model: an artifact of EnCodec's weights. The `.ecdc` file does not say which weights it was made with.
        language: EnCodec's language model, for files coded with it, which are not portable; others do not need it.
        force: replace an output that exists.
    Raises:
        ConfigError: not exactly one of the names ends in .ecdc, the other one in .nac, or the sound is of another kind.
        AudioError, BitstreamError: the source cannot be read, or holds what the output cannot.
        OutputError: the output exists already, is the source, or cannot be written.
    """
    check_not_input(output, source)
    names = {Path(name).suffix.lower() for name in (source, output)}
    if names != {SUFFIX, ".nac"}:
        raise ConfigError(f"convert goes from {SUFFIX} to .nac or back; one of the names has to end in each")
    spec = load(model).spec
    kind = _kind_of(spec)
    if Path(source).suffix.lower() == SUFFIX:
        write_coded(_read(source, kind, language), source, output, model=model, force=force)
    else:
        content = ecdc.pack(_of_nac(source, kind, spec, model))
        with atomic_output(output, force) as file:
            file.write(content)


def _read(source: FilePath, kind: ecdc.Kind, language: ecdc.LanguageModel | None) -> CodedAudio:
    with named(str(source)), open_input(source) as stream:
        found = ecdc.parse(stream.read(), language)
        if found.kind != kind:
            raise ModelMismatch(f"the file is of {found.kind.name}, the model of {kind.name}; give the other model")
        codes = found.codes[None]
        if found.gains is not None:
            gains = np.repeat(found.gains, kind.frames(found.num_samples))
            codes = with_side(codes, gains[None, None])
    return CodedAudio(codes, kind.sample_rate, found.num_samples, channels=kind.channels)


def _of_nac(source: FilePath, kind: ecdc.Kind, spec: CodecSpec, model: FilePath) -> ecdc.Ecdc:
    coded = codes_of_nac(source, None, model)
    if (coded.channels, coded.sample_rate, coded.lead_in) != (kind.channels, kind.sample_rate, 0):
        sound = {1: "mono", 2: "stereo"}[kind.channels]
        raise ConfigError(
            f"{source}: {SUFFIX} holds whole {sound} sound at {kind.sample_rate:,} Hz; encode the sound anew"
        )
    assert coded.num_samples is not None
    codes, side = without_side(coded.codes[0], spec.side_numbers)
    firsts = np.cumsum([0, *kind.frames(coded.num_samples)])[:-1]
    return ecdc.Ecdc(codes, coded.num_samples, kind, side[0, firsts] if kind.has_gains else None)


def _kind_of(spec: CodecSpec) -> ecdc.Kind:
    """Whose files have the codes of a model.

    Raises:
        ModelMismatch: there are none.
    """
    for kind in ecdc.KINDS.values():
        segment = (kind.segment, kind.segment - kind.step) if kind.has_gains else (0, 0)
        expected = kind.sample_rate, kind.channels, ecdc.HOP, {2**10}, kind.max_codebooks, *segment
        sizes = {book.size for book in spec.codebooks}
        found = spec.sample_rate, spec.channels, spec.hop_length, sizes, spec.num_quantizers
        if (*found, spec.segment_samples, spec.overlap_samples) == expected:
            return kind
    raise ModelMismatch(
        "the model is not EnCodec's; make one with `soundstream import encodec 24khz` or `48khz`, and give --model"
    )
