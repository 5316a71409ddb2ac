"""The commands that code files: encode, decode."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from soundstream import audio
from soundstream.bitstream import Header, Reader, RepairingReader
from soundstream.cli.display import messages, shown
from soundstream.cli.options import FileModel, Force, Input, ModelOption, Output, Quiet, Threads
from soundstream.codec import DEFAULT_BITRATE, Codec, Damage, load, load_for
from soundstream.errors import ConfigError, OutputError
from soundstream.files import atomic_output, open_input
from soundstream.runtime.quantizer import DEFAULT_EFFORT, check_effort


def encode(
    source: Input,
    output: Output = None,
    bitrate: Annotated[int, typer.Option("--bitrate", help="Bit/s of each channel: 750 to 18000 in steps of 750.")] = (
        DEFAULT_BITRATE
    ),
    vbr: Annotated[
        bool,
        typer.Option(
            "--vbr", help="Let the rate vary with the sound, to the size of the file at a constant --bitrate."
        ),
    ] = False,
    max_bitrate: Annotated[
        int | None, typer.Option("--max-bitrate", help="Highest bit/s of a packet with --vbr; else the model's.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="Text to keep in the file.")
    ] = None,
    entropy: Annotated[
        str | None,
        typer.Option(
            "--entropy",
            metavar="none|fast|best",
            help="How codes are packed: best up to 8 codebooks, above them fast, which decodes quickly.",
        ),
    ] = None,
    denoise: Annotated[
        float,
        typer.Option(
            "--denoise",
            metavar="0..1",
            help="Remove noise from speech: 1 all that can be, 0.5 half way, 0 none. Music stays as it is.",
        ),
    ] = 0.0,
    effort: Annotated[
        int, typer.Option("--effort", metavar="1..64", help="Search longer for codes that sound better; same size.")
    ] = DEFAULT_EFFORT,
    model: ModelOption = "default",
    force: Force = False,
    quiet: Quiet = False,
    threads: Threads = 1,
) -> None:
    """Compress an audio file (WAV, FLAC, Ogg, Opus, MP3, AIFF) to .nac.

    [dim]soundstream encode talk.wav[/dim] writes talk.nac; [dim]-o[/dim] names another place, [dim]-[/dim] is a pipe.
    """
    codec = load(model, threads)
    codec.config.check_denoise(denoise)
    check_effort(effort)
    tags = _tags(tag or [])
    with (
        audio.open_reader(source) as reader,
        nac_output(_output_name(source, output, ".nac"), force) as stream,
    ):
        most = (max_bitrate or codec.config.bitrate(codec.config.num_quantizers)) if vbr else bitrate
        entropy = entropy or codec.coding.default_mode(codec.config.quantizers_for(bitrate))
        header = codec.header(reader.sample_rate, reader.channels, most, reader.num_samples, tags, entropy)
        blocks = shown(reader, "encoding", reader.num_samples, quiet)
        if vbr:
            codec.write_vbr(stream, header, blocks, min(bitrate, most), denoise, effort)
        else:
            codec.write(stream, header, blocks, denoise, effort)


def decode(
    source: Input,
    output: Output = None,
    start_s: Annotated[float, typer.Option("--from", min=0, metavar="SECONDS", help="Leave out what is before.")] = 0.0,
    conceal: Annotated[
        bool, typer.Option("--conceal", help="Decode a damaged file, with silence for what is lost, and say what.")
    ] = False,
    denoise: Annotated[
        float,
        typer.Option("--denoise", metavar="0..1", help="Remove noise, with a model that does so here; see encode."),
    ] = 0.0,
    model: FileModel = None,
    force: Force = False,
    quiet: Quiet = False,
    threads: Threads = 1,
) -> None:
    """Restore the audio of a .nac file, with the rate, channels and exact length of the original.

    [dim]soundstream decode talk.nac[/dim] writes talk.wav; the suffix of [dim]-o[/dim] chooses .wav, .flac or .ogg.
    """
    damage, name = list[Damage](), _output_name(source, output, ".wav")
    if conceal and start_s:
        raise ConfigError("--conceal decodes a whole file; leave out --from")
    with open_input(source) as stream:
        reader = RepairingReader(stream) if conceal else Reader(stream)
        codec = codec_for(reader.header, model, threads)
        codec.config.check_denoise(denoise, "decoder")
        if isinstance(reader, RepairingReader):
            blocks = codec.repair(reader, damage, denoise)
        else:
            blocks = codec.read(reader, start_s, denoise)
        with audio.open_writer(name, reader.header.sample_rate, reader.header.channels, force) as writer:
            for block in shown(blocks, "decoding", reader.header.num_samples, quiet):
                writer.write(block)
    for loss in damage:
        messages.print(f"lost: {loss.duration_s:.2f} s at {loss.start_s:.2f} s ({loss.reason})", soft_wrap=True)


def codec_for(header: Header, model: str | None, threads: int = 1) -> Codec:
    return load(model, threads) if model else load_for(header.model_id, threads)


def _tags(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise ConfigError(f"--tag {pair!r} has no '='; expected NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def _output_name(source: str, output: str | None, suffix: str) -> str:
    if output:
        return output
    return "-" if source == "-" else str(Path(source).with_suffix(suffix))


@contextmanager
def nac_output(name: str, force: bool) -> Iterator[BinaryIO]:
    if name != "-":
        with atomic_output(name, force) as file:
            yield file
        return
    if sys.stdout.isatty():
        raise OutputError("refusing to write a .nac file to the terminal; give -o FILE or a pipe")
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()
