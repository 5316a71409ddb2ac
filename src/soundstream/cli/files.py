"""The commands that code files: encode, decode."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from soundstream import audio
from soundstream.cli import batch
from soundstream.cli.display import messages, shown, shown_files
from soundstream.cli.options import (
    FileModel,
    Force,
    Inputs,
    Jobs,
    ModelOption,
    Place,
    Quiet,
    RawSound,
    Threads,
    seconds,
    with_encode_options,
)
from soundstream.codec import Transfer, decode_file, encode_file, load
from soundstream.codec.paths import output_name
from soundstream.errors import ConfigError
from soundstream.runtime.options import EncodeOptions
from soundstream.system.processes import cores


class Container(StrEnum):
    """What encode writes."""

    NAC = "nac"


class AudioFormat(StrEnum):
    """What decode writes where no name says it."""

    WAV = "wav"
    FLAC = "flac"
    OGG = "ogg"
    OPUS = "opus"


class Bits(StrEnum):
    """Bits of a sample that decode writes."""

    B16 = "16"
    B24 = "24"
    FLOAT = "float"


@with_encode_options
def encode(
    sources: Inputs,
    output: Place = None,
    *,
    options: EncodeOptions,
    no_tags: Annotated[
        bool, typer.Option("--no-tags", help="Leave out title, artist and the like of the source.")
    ] = False,
    container: Annotated[
        Container | None, typer.Option("--format", help="Write this also under a name that says something else.")
    ] = None,
    raw: RawSound = None,
    jobs: Jobs = None,
    model: ModelOption = "default",
    force: Force = False,
    quiet: Quiet = False,
    threads: Threads = 1,
) -> None:
    """Compress audio files (WAV, FLAC, Ogg, Opus, MP3, AIFF; m4a, webm and others with PyAV or ffmpeg) to .nac.

    [dim]soundstream encode talk.wav[/dim] writes talk.nac; [dim]-o[/dim] names another place, [dim]-[/dim] is a pipe.

    [dim]soundstream encode FOLDER more/*.wav -o OUT[/dim] codes many, and goes on where it stopped when started again.
    """
    codec = load(model, threads)
    options.check(codec.spec)
    how: dict[str, Any] = asdict(options) | {"source_tags": not no_tags, "raw": raw}
    work: Callable[..., Transfer] = partial(
        encode_file, **how, model=model, threads=threads, any_name=container is not None, force=force
    )
    if not _are_many(sources, output):
        with shown("encoding", quiet) as watch:
            transfer = work(sources[0], _in_folder(sources[0], output, ".nac"), watch=watch)
        if not quiet:
            _say(_sizes(transfer))
        return
    settings = json.dumps(how | {"model": codec.model_id.hex()}, sort_keys=True)
    _all("encode", sources, output, (frozenset(audio.SUFFIXES), ".nac"), work, settings, jobs, force, quiet)


def decode(
    sources: Inputs,
    output: Place = None,
    start_s: Annotated[
        float, typer.Option("--from", parser=seconds, metavar="TIME", help="Leave out what is before: 90, or 1:30.")
    ] = 0.0,
    sample_rate: Annotated[
        int | None, typer.Option("--to", "--sample-rate", metavar="HZ", help="Sample rate; else that of the original.")
    ] = None,
    bits: Annotated[
        Bits | None, typer.Option("--bits", help="Of a sample in WAV and FLAC; 16 by default, float in WAV.")
    ] = None,
    audio_format: Annotated[
        AudioFormat | None, typer.Option("--format", help="Of outputs that are not named; wav by default.")
    ] = None,
    conceal: Annotated[
        bool, typer.Option("--conceal", help="Decode a damaged file, with silence for what is lost, and say what.")
    ] = False,
    denoise: Annotated[
        float,
        typer.Option("--denoise", metavar="0..1", help="Remove noise, with a model that does so here; see encode."),
    ] = 0.0,
    postfilter: Annotated[
        bool, typer.Option("--postfilter/--no-postfilter", help="Give voices back harmonics, from their pitch.")
    ] = True,
    jobs: Jobs = None,
    model: FileModel = None,
    force: Force = False,
    quiet: Quiet = False,
    threads: Threads = 1,
) -> None:
    """Restore the audio of .nac files, with the rate, channels, exact length and tags of the originals.

    [dim]soundstream decode talk.nac[/dim] writes talk.wav; the suffix of [dim]-o[/dim] chooses .wav, .flac, .ogg or
    .opus, [dim]-o -[/dim] is WAV as it comes.

    [dim]soundstream decode FOLDER more/*.nac -o OUT --format flac[/dim] decodes many, and goes on where it stopped.
    """
    how: dict[str, Any] = {
        "start_s": start_s,
        "sample_rate": sample_rate,
        "bits": bits and bits.value,
        "conceal": conceal,
        "denoise": denoise,
        "postfilter": postfilter,
    }
    work: Callable[..., Transfer] = partial(decode_file, **how, model=model, threads=threads, force=force)
    suffix = f".{audio_format or AudioFormat.WAV}"
    _check_format(output, suffix if audio_format else None)
    if not _are_many(sources, output):
        with shown("decoding", quiet) as watch:
            transfer = work(sources[0], _in_folder(sources[0], output, suffix), watch=watch)
        for line in _lost(transfer):
            _say(line)
        return
    settings = json.dumps(how | {"model": model}, sort_keys=True)
    _all("decode", sources, output, (frozenset({".nac"}), suffix), work, settings, jobs, force, quiet)


def _check_format(output: str | None, suffix: str | None) -> None:
    """Refuse a format that the name of a file denies, or that does not go through a pipe."""
    if suffix and output == "-" and suffix != ".wav":
        raise ConfigError(f"stdout takes WAV only, since {suffix} needs to go back; give -o FILE{suffix}")
    named = Path(output).suffix.lower() if output and not os.path.isdir(output) else ""  # noqa: PTH112 - long names
    if suffix and named in audio.WRITABLE and named != suffix:
        raise ConfigError(f"--format {suffix[1:]} and the name {output} do not agree; leave one of them out")


def _are_many(sources: list[str], output: str | None) -> bool:
    """Whether outputs go into a folder with a journal."""
    many = len(sources) > 1 or os.path.isdir(sources[0])  # noqa: PTH112 - an empty or long name is none
    if many and output in (None, "-"):
        raise ConfigError("several inputs need a folder for their outputs: -o FOLDER")
    return many


def _in_folder(source: str, output: str | None, suffix: str) -> str | None:
    """The output of a single source, which gets the source's name where only a folder is given."""
    if output is None:
        return output_name(source, None, suffix)
    if output.endswith("/") or (output != "-" and os.path.isdir(output)):  # noqa: PTH112 - as above
        if source == "-":
            raise ConfigError(f"stdin has no name for its output in {output}; give -o FILE")
        batch.make_folder(Path(output))
        return str(Path(output, Path(output_name(source, None, suffix)).name))
    return output


def _all(
    verb: str,
    sources: list[str],
    output: str | None,
    suffixes: tuple[frozenset[str], str],
    work: batch.Work,
    settings: str,
    jobs: int | None,
    force: bool,
    quiet: bool,
) -> None:
    """Code many files, say what became of them, and exit 1 if one failed."""
    folder = Path(os.path.abspath(output or "."))  # noqa: PTH100 - keeps links
    plan = batch.plan(sources, suffixes[0], folder, suffixes[1])
    batch.make_folder(folder)
    sizes = {job: job.source.stat().st_size if job.source.is_file() else 0 for job in plan.jobs}
    with shown_files(verb, len(plan.jobs), sum(sizes.values()), quiet) as over:
        summary = batch.run(
            plan.jobs,
            work,
            batch.Journal(folder, settings),
            jobs or cores(),
            force,
            lambda job: over(sizes[job]),
        )
    for outcome in summary.outcomes:
        for line in (*outcome.told, *(_lost(outcome.transfer) if outcome.transfer else ())):
            _say(f"warning: {line if outcome.job.source.name in line else f'{outcome.job.source}: {line}'}")
    if not quiet or summary.failed:
        _say(_summed(verb, summary, plan.passed_over))
    for outcome in summary.failed:
        _say(f"failed: {outcome.error}")
    if summary.failed:
        raise typer.Exit(1)


def _summed(verb: str, summary: batch.BatchSummary, passed_over: int) -> str:
    done = summary.transfers
    parts = [f"{verb}d {len(done)} file{'s' * (len(done) != 1)}: {_ratio(done)}"]
    if summary.done_before:
        parts.append(f"done already: {summary.done_before}")
    if passed_over:
        parts.append(f"of other kinds, passed over: {passed_over}")
    if summary.failed:
        parts.append(f"{len(summary.failed)} failed")
    return "; ".join(parts)


def _sizes(transfer: Transfer) -> str:
    """One line on what a file became."""
    names = (
        "stdin" if transfer.source == "-" else transfer.source,
        "stdout" if transfer.output == "-" else transfer.output,
    )
    rate = round(8 * (transfer.output_bytes or 0) / transfer.duration_s) if transfer.num_samples else 0
    return f"{' -> '.join(names)}: {_ratio([transfer])}, {rate:,} bit/s"


def _ratio(transfers: list[Transfer]) -> str:
    """Seconds, and bytes before and after, of those files whose sizes are known."""
    known = [(t.source_bytes, t.output_bytes) for t in transfers if t.source_bytes is not None and t.output_bytes]
    before, after = (sum(sizes) for sizes in zip(*known, strict=True)) if known else (0, 0)
    duration = f"{sum(transfer.duration_s for transfer in transfers):,.1f} s"
    if not known:
        return ", ".join([duration, *(f"{t.output_bytes:,} bytes" for t in transfers if t.output_bytes)])
    smaller = f" ({before / after:.1f} : 1)" if after < before else ""
    return f"{duration}, {before:,} -> {after:,} bytes{smaller}"


def _lost(transfer: Transfer) -> list[str]:
    return [f"lost: {loss.duration_s:.2f} s at {loss.start_s:.2f} s ({loss.reason})" for loss in transfer.damage]


def _say(line: str) -> None:
    messages.print(line, soft_wrap=True, markup=False, highlight=False)
