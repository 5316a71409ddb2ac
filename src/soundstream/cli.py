"""The command line: coding files, live sound, measuring and training; each command says more with --help."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
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

from soundstream import __version__, audio, bench_cli, editing, entropy_cli, eval_cli, live_cli, serve_cli, train_cli
from soundstream.bitstream import Header, Loss, Reader, RepairingReader
from soundstream.codec import DEFAULT_BITRATE, Array, Codec, Damage, load, load_for
from soundstream.coding import MODES
from soundstream.errors import CodecError, ConfigError, OutputError
from soundstream.files import atomic_output, open_input
from soundstream.runtime.quantizer import DEFAULT_EFFORT, check_effort

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
FileModel = Annotated[
    str | None,
    typer.Option("--model", help="A shipped model's name or a folder; by default the one that the file names."),
]
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
        _nac_output(_output_name(source, output, ".nac"), force) as stream,
    ):
        most = (max_bitrate or codec.config.bitrate(codec.config.num_quantizers)) if vbr else bitrate
        entropy = entropy or codec.coding.default_mode(codec.config.quantizers_for(bitrate))
        header = codec.header(reader.sample_rate, reader.channels, most, reader.num_samples, tags, entropy)
        blocks = _shown(reader, "encoding", reader.num_samples, quiet)
        if vbr:
            codec.write_vbr(stream, header, blocks, min(bitrate, most), denoise, effort)
        else:
            codec.write(stream, header, blocks, denoise, effort)


@app.command()
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
        codec = _codec_for(reader.header, model, threads)
        codec.config.check_denoise(denoise, "decoder")
        if isinstance(reader, RepairingReader):
            blocks = codec.repair(reader, damage, denoise)
        else:
            blocks = codec.read(reader, start_s, denoise)
        with audio.open_writer(name, reader.header.sample_rate, reader.header.channels, force) as writer:
            for block in _shown(blocks, "decoding", reader.header.num_samples, quiet):
                writer.write(block)
    for loss in damage:
        messages.print(f"lost: {loss.duration_s:.2f} s at {loss.start_s:.2f} s ({loss.reason})", soft_wrap=True)


@app.command()
def cut(
    source: Input,
    output: Annotated[str, typer.Option("-o", "--output", metavar="OUTPUT", help="A file, or - for stdout.")],
    start_s: Annotated[float, typer.Option("--from", min=0, metavar="SECONDS", help="Start, to the frame.")] = 0.0,
    end_s: Annotated[float | None, typer.Option("--to", metavar="SECONDS", help="End; else that of the file.")] = None,
    model: FileModel = None,
    force: Force = False,
) -> None:
    """Write a part of a .nac file without decoding it."""
    with open_input(source) as stream, _nac_output(output, force) as target:
        reader = Reader(stream)
        editing.cut(_codec_for(reader.header, model), reader, target, start_s, end_s)


@app.command()
def cat(
    sources: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files of one model, rate and channels.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="OUTPUT", help="A file, or - for stdout.")],
    model: FileModel = None,
    force: Force = False,
) -> None:
    """Join .nac files without decoding them."""
    with ExitStack() as stack:
        readers = [Reader(stack.enter_context(open_input(source))) for source in sources]
        codec = _codec_for(readers[0].header, model)
        editing.cat(codec, readers, stack.enter_context(_nac_output(output, force)))


@app.command()
def info(
    source: Input,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
    packets: Annotated[bool, typer.Option("--packets", help="List every packet.")] = False,
) -> None:
    """Show what a .nac file says of itself, and check every checksum in it; exit 1 if something is damaged."""
    with open_input(source) as stream:
        facts, listed = _facts(stream)
    if as_json:
        print(json.dumps(facts | ({"packet_list": listed} if packets else {}), indent=2))
    else:
        _print_table(facts, listed if packets else [])
    if facts["damage"]:
        raise typer.Exit(1)


def _print_table(facts: dict[str, object], listed: list[dict[str, object]]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(_plain(value)))
    Console().print(table)
    for packet in listed:
        print("  ".join(f"{name} {value}" for name, value in packet.items()))


app.command()(live_cli.send)
app.command()(live_cli.receive)
app.command()(bench_cli.bench)
app.command(name="eval")(eval_cli.evaluate)
app.command(name="eval-denoise")(eval_cli.evaluate_denoise)
app.command()(train_cli.train)
app.command(name="train-report")(train_cli.train_report)
app.command()(train_cli.export)
app.command(name="fit-entropy")(entropy_cli.fit_entropy)
app.command()(train_cli.release)
app.command()(serve_cli.serve)


def _facts(stream: BinaryIO) -> tuple[dict[str, object], list[dict[str, object]]]:
    """What a file holds, and a line for each packet or loss."""
    reader = RepairingReader(stream)
    header, damage, quantizers, size = reader.header, list[str](), set[int](), 0
    listed: list[dict[str, object]] = []
    for item in reader:
        start_s = round((reader.frames - item.frames) / header.frame_rate, 3)
        if isinstance(item, Loss):
            damage.append(f"{item.packets} packets at {start_s} s: {item.reason}" if item.packets else item.reason)
            listed.append({"at_s": start_s, "frames": item.frames, "lost": item.reason})
        else:
            quantizers.add(item.num_quantizers)
            size += len(item.payload)
            bits = 8 * len(item.payload) * header.frame_rate / item.frames / header.channels
            facts = {"at_s": start_s, "frames": item.frames, "num_quantizers": item.num_quantizers}
            listed.append({**facts, "bytes": len(item.payload), "bitrate": round(bits)})
    num_samples = reader.num_samples
    duration = reader.frames / header.frame_rate if num_samples is None else num_samples / header.sample_rate
    return {
        "model": header.model_id.hex(),
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "num_samples": num_samples,
        "duration_s": round(duration, 3),
        "nominal_bitrate": header.bitrate,
        "measured_bitrate": round(8 * reader.bytes / duration / header.channels) if duration else None,
        "bytes": reader.bytes,
        "payload_bytes": size,
        "codec_sample_rate": header.codec_sample_rate,
        "hop_length": header.hop_length,
        "codebook_bits": header.codebook_bits,
        "num_quantizers": sorted(quantizers) or [header.num_quantizers],
        "entropy_mode": MODES[header.entropy_mode],
        "packets": reader.packets,
        "frames": reader.frames,
        "tags": dict(header.tags),
        "damage": damage,
    }, listed


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{_printable(k)}={_printable(v)}" for k, v in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)


def _codec_for(header: Header, model: str | None, threads: int = 1) -> Codec:
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
