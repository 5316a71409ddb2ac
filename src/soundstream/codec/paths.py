"""Files to files: audio to `.nac` and back, by path or through pipes, in constant memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from soundstream import audio
from soundstream.arrays import Array
from soundstream.bitstream import Reader, RepairingReader
from soundstream.codec.codec import codec_for, load
from soundstream.codec.dac_files import dac_sound, is_dac, read_dac
from soundstream.codec.reading import Damage, check_start
from soundstream.errors import AudioWarning, ConfigError, InputError, OutputError
from soundstream.runtime.options import EncodeKeywords, EncodeOptions
from soundstream.system.files import FilePath, check_not_input, name_of, named, open_input, open_output

_MAX_TAG_BYTES = 4096
"""Bytes of a tag that is taken over from a source: all nine have room in a header."""
Watch = Callable[[int, int | None], None]
"""Told how many samples per channel are done, and of how many, where that is known."""


@dataclass(frozen=True)
class Transfer:
    """What one file became."""

    source: str
    output: str
    sample_rate: int
    """Hz of the audio."""
    channels: int
    num_samples: int
    """Samples per channel."""
    source_bytes: int | None
    """None of a pipe."""
    output_bytes: int | None
    damage: tuple[Damage, ...] = ()
    """What could not be decoded."""

    @property
    def duration_s(self) -> float:
        """Seconds of audio."""
        return self.num_samples / self.sample_rate


def encode_file(
    source: FilePath,
    output: FilePath | None = None,
    bitrate: int | None = None,
    *,
    source_tags: bool = True,
    raw: str | None = None,
    model: FilePath = "default",
    threads: int = 1,
    any_name: bool = False,
    force: bool = False,
    watch: Watch | None = None,
    **options: Unpack[EncodeKeywords],
) -> Transfer:
    """Compress an audio file to a `.nac` file.

    Args:
        source: a path, or "-" for stdin.
        output: a path, or "-" for stdout; None is the source's name with `.nac`.
        bitrate: nominal bit/s of each channel, None as with `Codec.encode`; with `vbr` the size of the file is that of
            this rate.
        source_tags: keep title, artist and the like of the source, where `tags` do not replace them.
        raw: what a headerless source is made of, such as "16000:1:s16"; see `soundstream.audio.Raw.parse`.
        model: a shipped model's name, or an artifact's folder.
        threads: CPU threads of the networks.
        any_name: also write to a name that says that it is audio, such as `x.wav`.
        force: replace an output that exists already; the source is never replaced.
        watch: told of progress.
        options: as `Codec.encode`.
    Raises:
        AudioError: the source cannot be read, or the codec does not take its rate or channels.
        ConfigError, ArtifactError: a setting or the model is not to be had.
        OutputError: the output exists already, is the source, or cannot be written.
    """
    codec, wanted = load(model, threads), EncodeOptions(bitrate, **options)
    wanted.check(codec.spec)
    name = output_name(source, output, ".nac")
    check_not_input(name, source)
    if not any_name:
        check_nac_name(name, "end it in .nac, or say --format nac")
    form = None if raw is None else audio.Raw.parse(raw)
    with named(name_of(source)), audio.open_reader(source, form) as reader:
        tags = wanted.tags or {}
        wanted = replace(wanted, tags={**(_own_tags(reader, tags) if source_tags else {}), **tags})
        blocks = _named(_watched(reader, reader.num_samples, watch), name_of(source))
        with open_output(name, force) as stream:
            written = codec.write(stream, blocks, reader.sample_rate, reader.channels, wanted, reader.num_samples)
        return _transfer(source, name, reader.sample_rate, reader.channels, written.num_samples, written.bytes)


def decode_file(
    source: FilePath,
    output: FilePath | None = None,
    *,
    start_s: float = 0.0,
    sample_rate: int | None = None,
    bits: str | int | None = None,
    conceal: bool = False,
    denoise: float = 0.0,
    postfilter: bool = True,
    model: FilePath | None = None,
    threads: int = 1,
    force: bool = False,
    watch: Watch | None = None,
) -> Transfer:
    """Restore the audio of a `.nac` file, with the rate, channels and exact length of the original, and its tags.

    Args:
        source: a path, or "-" for stdin; also a file of DAC's own program, `.dac`, which names no model.
        output: a path that ends in .wav, .flac, .ogg or .opus, or "-" for WAV on stdout, which comes as it is decoded;
            None is the source's name with `.wav`.
        start_s: seconds to leave out at the start.
        sample_rate: Hz of the output; None is that of the original.
        bits: of a sample: 16, 24, or "float" in WAV; None is 16.
        conceal: decode a damaged file, with silence for what is lost; what that is stands in the result.
        denoise: as `Codec.decode`.
        postfilter: as `load`.
        model: a shipped model's name, or an artifact's folder; None is the one that the file names.
        threads, force, watch: as `encode_file`.
    Raises:
        AudioError: the source cannot be read, or the output's format does not hold the audio.
        BitstreamError: the source is damaged, incomplete, foreign, or of another model.
        ConfigError: a setting is not to be had, or the file ends before `start_s`.
        OutputError: as `encode_file`.
    """
    check_start(start_s)
    if conceal and start_s:
        raise ConfigError("--conceal decodes a whole file; leave out --from")
    name = output_name(source, output, ".wav")
    if is_dac(source):
        if conceal or start_s or denoise:
            raise ConfigError("a .dac file is decoded whole and as it is; leave out --from, --conceal and --denoise")
        return _decode_dac(source, name, sample_rate, bits, model, threads, force, watch)
    damage: list[Damage] = []
    with open_input(source) as stream:
        reader = RepairingReader(stream) if conceal else Reader(stream)
        check_not_input(name, source)
        codec = codec_for(reader, model, threads, postfilter)
        codec.spec.check_denoise(denoise, "decoder")
        rate = audio.whole_rate(reader.header.sample_rate if sample_rate is None else sample_rate)
        left = None if conceal else _samples_from(reader, start_s, rate)
        if isinstance(reader, RepairingReader):
            blocks = codec.repair(reader, damage, denoise, rate)
        else:
            blocks = codec.read(reader, start_s, denoise, rate)
        header, count = reader.header, 0
        with audio.open_writer(
            name, rate, header.channels, force, bits=bits, num_samples=left, tags=header.tags
        ) as writer:
            for block in _watched(blocks, left, watch):
                writer.write(block)
                count += block.shape[1]
            if start_s and not count:
                raise _ends_before(reader, start_s)
    output_bytes = None if name == "-" else Path(name).stat().st_size
    return _transfer(source, name, rate, header.channels, count, output_bytes, tuple(damage))


def _decode_dac(
    source: FilePath,
    name: str,
    sample_rate: int | None,
    bits: str | int | None,
    model: FilePath | None,
    threads: int,
    force: bool,
    watch: Watch | None,
) -> Transfer:
    """`decode_file` of a file of DAC's own program."""
    if model is None:
        raise ConfigError(f"{source} does not say which model made it; give one of `soundstream import dac`: --model")
    check_not_input(name, source)
    found, codec = read_dac(source), load(model, threads, postfilter=False)
    rate, channels = audio.whole_rate(sample_rate or found.sample_rate), len(found.codes)
    left, count = audio.resampled_length(found.num_samples, found.sample_rate, rate), 0
    with (
        named(str(source)),
        audio.open_writer(name, rate, channels, force, bits=bits, num_samples=left, tags={}) as writer,
    ):
        for block in _watched(dac_sound(found, codec.model, rate), left, watch):
            writer.write(block)
            count += block.shape[1]
    return _transfer(source, name, rate, channels, count, None if name == "-" else Path(name).stat().st_size)


def output_name(source: FilePath, output: FilePath | None, suffix: str) -> str:
    """Where the output goes: beside the source under another suffix, or from stdin to stdout, unless it is said.

    Raises:
        InputError: the source has no name.
    """
    if output is not None:
        return str(output)
    if source != "-" and not Path(source).name:
        raise InputError(f"{str(source)!r} is no name of a file")
    return "-" if source == "-" else str(Path(source).with_suffix(suffix))


def check_nac_name(name: str, advice: str = "end it in .nac") -> None:
    """Refuse the name of an audio file for the bytes of a `.nac` file.

    Raises:
        OutputError: it is one.
    """
    if Path(name).suffix.lower() in audio.SUFFIXES:
        raise OutputError(f"{name} would hold .nac bytes under an audio file's name; {advice}")


def _own_tags(reader: audio.AudioReader, others: Mapping[str, str]) -> dict[str, str]:
    """Tags of a source that `others` do not replace and that fit beside them."""
    replaced = {name.lower() for name in others}
    tags = {name: value for name, value in reader.tags.items() if name not in replaced}
    sizes = {name: len(value.encode(errors="replace")) for name, value in tags.items()}
    for name, size in sizes.items():
        if size > _MAX_TAG_BYTES:
            told = f"{reader.name}: its tag {name} of {size:,} bytes is left out; {_MAX_TAG_BYTES:,} are kept"
            warnings.warn(told, AudioWarning, stacklevel=3)
    return {name: value for name, value in tags.items() if sizes[name] <= _MAX_TAG_BYTES}


def _samples_from(reader: Reader | RepairingReader, start_s: float, rate: int) -> int | None:
    """Samples from `start_s` to the end at a rate; None if the end is not known yet."""
    if reader.num_samples is None:
        return None
    left = audio.resampled_length(reader.num_samples, reader.header.sample_rate, rate) - round(start_s * rate)
    if start_s and left <= 0:
        raise _ends_before(reader, start_s)
    return left


def _ends_before(reader: Reader | RepairingReader, start_s: float) -> ConfigError:
    end_s = (reader.num_samples or 0) / reader.header.sample_rate
    return ConfigError(f"{reader.name or 'the file'} ends at {end_s:.2f} s, before the start at {start_s:g} s")


def _watched(blocks: Iterable[Array], total: int | None, watch: Watch | None) -> Iterator[Array]:
    done = 0
    for block in blocks:
        yield block
        done += block.shape[1]
        if watch:
            watch(done, total)


def _named(blocks: Iterable[Array], name: str) -> Iterator[Array]:
    """The same blocks, with the file's name in the errors of its reader."""
    with named(name):
        yield from blocks


def _transfer(
    source: FilePath,
    output: str,
    sample_rate: int,
    channels: int,
    num_samples: int,
    output_bytes: int | None,
    damage: tuple[Damage, ...] = (),
) -> Transfer:
    source_bytes = Path(source).stat().st_size if Path(source).is_file() else None
    return Transfer(str(source), output, sample_rate, channels, num_samples, source_bytes, output_bytes, damage)
