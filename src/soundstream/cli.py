"""The command line: encode, decode, info, bench, train, export."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from soundstream import __version__, audio, bench_cli, eval_cli, train_cli
from soundstream.bitstream import Reader
from soundstream.codec import DEFAULT_BITRATE, Array, load
from soundstream.errors import CodecError, ConfigError, OutputError
from soundstream.files import atomic_output, open_input

app = typer.Typer(
    help="A neural audio codec: speech, music and any sound at 1.5 to 18 kbit/s.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
messages = Console(stderr=True)

Input = Annotated[str, typer.Argument(metavar="INPUT", help="A file, or - for stdin.")]
Output = Annotated[str | None, typer.Option("-o", "--output", metavar="OUTPUT", help="A file, or - for stdout.")]
ModelOption = Annotated[str, typer.Option("--model", help="A shipped model's name, or the folder of another one.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists already.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads of the networks.")]


@app.command()
def encode(
    source: Input,
    output: Output = None,
    bitrate: Annotated[int, typer.Option("--bitrate", help="Bit/s of each channel: 750 to 18000 in steps of 750.")] = (
        DEFAULT_BITRATE
    ),
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="Text to keep in the file.")
    ] = None,
    model: ModelOption = "default",
    force: Force = False,
    quiet: Quiet = False,
    threads: Threads = 1,
) -> None:
    """Compress an audio file (WAV, FLAC, Ogg, Opus, MP3, AIFF) to .nac.

    [dim]soundstream encode talk.wav[/dim] writes talk.nac; [dim]-o[/dim] names another place, [dim]-[/dim] is a pipe.
    """
    codec = load(model, threads)
    tags = _tags(tag or [])
    with (
        audio.open_reader(source) as reader,
        _nac_output(_output_name(source, output, ".nac"), force) as stream,
    ):
        header = codec.header(reader.sample_rate, reader.channels, bitrate, reader.num_samples, tags)
        codec.write(stream, header, _shown(reader, "encoding", reader.num_samples, quiet))


@app.command()
def decode(
    source: Input,
    output: Output = None,
    model: ModelOption = "default",
    force: Force = False,
    quiet: Quiet = False,
    threads: Threads = 1,
) -> None:
    """Restore the audio of a .nac file, with the rate, channels and exact length of the original.

    [dim]soundstream decode talk.nac[/dim] writes talk.wav; the suffix of [dim]-o[/dim] chooses .wav, .flac or .ogg.
    """
    codec = load(model, threads)
    name = _output_name(source, output, ".wav")
    with open_input(source) as stream:
        reader = Reader(stream)
        blocks = codec.read(reader)
        with audio.open_writer(name, reader.header.sample_rate, reader.header.channels, force) as writer:
            for block in _shown(blocks, "decoding", reader.header.num_samples, quiet):
                writer.write(block)


@app.command()
def info(
    source: Input,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show what a .nac file says of itself, and check every checksum in it."""
    with open_input(source) as stream:
        facts = _facts(stream)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(_plain(value)))
    Console().print(table)


app.command()(bench_cli.bench)
app.command(name="eval")(eval_cli.evaluate)
app.command()(train_cli.train)
app.command()(train_cli.export)


def _facts(stream: BinaryIO) -> dict[str, object]:
    reader = Reader(stream)
    quantizers = sorted({packet.num_quantizers for packet in reader})
    header = reader.header
    assert reader.num_samples is not None
    duration = reader.num_samples / header.sample_rate
    return {
        "model": header.model_id.hex(),
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "num_samples": reader.num_samples,
        "duration_s": round(duration, 3),
        "nominal_bitrate": header.bitrate,
        "measured_bitrate": round(8 * reader.bytes / duration / header.channels) if duration else None,
        "bytes": reader.bytes,
        "codec_sample_rate": header.codec_sample_rate,
        "hop_length": header.hop_length,
        "codebook_bits": header.codebook_bits,
        "num_quantizers": quantizers or [header.num_quantizers],
        "entropy_mode": ["plain"][header.entropy_mode],
        "packets": reader.packets,
        "frames": reader.frames,
        "tags": dict(header.tags),
    }


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{_printable(k)}={_printable(v)}" for k, v in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)


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
def _nac_output(name: str, force: bool) -> Iterator[BinaryIO]:
    if name != "-":
        with atomic_output(name, force) as file:
            yield file
        return
    if sys.stdout.isatty():
        raise OutputError("refusing to write a .nac file to the terminal; give -o FILE or a pipe")
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def _shown(blocks: Iterable[Array], what: str, num_samples: int | None, quiet: bool) -> Iterator[Array]:
    """Pass blocks on under a progress bar, which shows only where a person looks on."""
    columns = TextColumn(what), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=messages, transient=True, disable=quiet or not messages.is_terminal) as progress:
        task = progress.add_task(what, total=num_samples)
        for block in blocks:
            yield block
            progress.advance(task, block.shape[1])


def _version(show: bool) -> None:
    if show:
        print(f"soundstream {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that come before a command."""


def main() -> None:
    """Run the command line: errors are one line on stderr and exit code 1."""
    try:
        app()
    except CodecError as error:
        messages.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
