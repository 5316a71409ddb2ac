"""The command `eval`: quality beside other codecs, on the same clips, in the same run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from soundstream.cli.display import counted, messages
from soundstream.cli.options import ModelOption, Quiet
from soundstream.codec import Codec, load
from soundstream.errors import ConfigError, OutputError
from soundstream.evaluate.metrics import DEFAULT
from soundstream.system.extras import extra, needs

if TYPE_CHECKING:
    from soundstream.evaluate.denoise.report import DenoiseItem

CODECS = (
    "original,lowpass:3500,lowpass:7000,soundstream:1500,soundstream:3000,soundstream:6000,soundstream:12000,"
    "opus:6000,opus:9000,opus:12000,opus:16000,opus-swb:12000"
)


def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="CLIPS", help="Folder tree of audio; its first folders are content classes."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="REPORT", help="Report folder to write.")
    ] = None,
    probes: Annotated[
        str | None,
        typer.Option(
            "--probes",
            metavar="MODEL",
            help="Measure one model by tones, noise and other made sounds instead, and by speech if CLIPS holds some.",
        ),
    ] = None,
    codecs: Annotated[
        str,
        typer.Option("--codecs", help="Codecs, such as soundstream:6000,opus:6000,opus-cbr:6000,mp3:32000,original."),
    ] = CODECS,
    metrics: Annotated[str, typer.Option("--metrics", help="Metrics; dnsmos is one more.")] = ",".join(DEFAULT),
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="CODEC", help="Show differences to this codec, clip by clip.")
    ] = None,
    shell: Annotated[
        tuple[str, str, str] | None,
        typer.Option(
            "--shell",
            metavar="NAME ENCODE DECODE",
            help="An external codec as two shell commands with {in}, {out} and {bitrate}; then name it in --codecs.",
        ),
    ] = None,
    model: ModelOption = "default",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Most clips of a class.")] = None,
    mix_noise: Annotated[
        float | None,
        typer.Option("--mix-noise", metavar="DB", help="Add noisy speech: speech/ and ambient/ mixed at this SNR."),
    ] = None,
    spectrogram_clips: Annotated[
        int, typer.Option("--spectrograms", min=0, metavar="N", help="Draw spectrograms of N clips.")
    ] = 0,
    listening_test: Annotated[
        bool, typer.Option("--listening-test", help="Write a MUSHRA-like listening test as a static page.")
    ] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; one a CPU core by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Use a report folder of other settings.")] = False,
    quiet: Quiet = False,
) -> None:
    """Measure codecs on a folder of clips: tables, pictures and every number as JSON.

    An interrupted run goes on where it stopped when the same command is given again.

    [dim]soundstream eval --probes MODEL[/dim] shows what one model makes of single tones, noise, silence, a click, a
    square wave and a sweep; with [dim]-o[/dim] also as JSON and as a picture.
    """
    if probes is not None:
        _probe(load(probes), folder, output, force, quiet)
        return
    if folder is None or output is None:
        raise typer.BadParameter("give a folder of CLIPS and a report folder with -o, or a model with --probes")
    with needs(extra("eval")):
        from soundstream.evaluate import evaluation
        from soundstream.evaluate.codecs.baselines import check_shell
    if shell:
        check_shell(shell)
    names = tuple(name.strip() for name in metrics.split(",") if name.strip())
    settings = evaluation.Settings(str(folder), codecs, names, model, shell, limit, mix_noise, baseline)
    prepared = evaluation.prepare(settings)
    evaluation.claim(prepared, output, force)
    with counted("measuring", quiet) as progress:
        evaluation.run(prepared, output, jobs or os.cpu_count() or 1, progress)
    evaluation.draw_spectrograms(prepared, output, spectrogram_clips)
    if listening_test:
        evaluation.write_listening_test(prepared, output)
    print((output / "report.md").read_text(encoding="utf-8"), end="")


def evaluate_denoise(
    folder: Annotated[
        Path, typer.Argument(metavar="CLIPS", help="Folder tree of audio with speech/, music/ and ambient/.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="JSON", help="File to write; replaced if there.")],
    pictures: Annotated[
        Path | None, typer.Option("--pictures", metavar="FOLDER", help="Also draw denoise.png and spectrograms there.")
    ] = None,
    model: ModelOption = "default",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most clips of a class.")] = 12,
    quiet: Quiet = False,
) -> None:
    """Measure what the denoise switch does to noisy speech, clean speech, music and ambient sound."""
    with needs(extra("eval")):
        from soundstream.evaluate.denoise import report as denoise
        from soundstream.evaluate.provenance import write_report
    codec = load(model)
    with counted("measuring", quiet) as progress:
        report = denoise.run(codec, folder, limit, progress)
    write_report(output, report)
    if pictures:
        _draw_denoise(pictures, denoise.inputs(folder, limit)[f"{denoise.MAIN_SNR_DB}dB"], codec, report)


def _probe(codec: Codec, folder: Path | None, output: Path | None, force: bool, quiet: bool) -> None:
    """Measure, show and, into a folder, write the probes of one model."""
    with needs(extra("eval")):
        from soundstream.evaluate.probes import pictures as probe_pictures
        from soundstream.evaluate.probes.probes import find_speech, run
        from soundstream.evaluate.provenance import write_report
    speech = find_speech(folder) if folder else []
    if folder and not speech:
        raise ConfigError(f"{folder} has no clips in a folder speech/; leave it out to measure made sounds alone")
    if output:
        _claim(output, "probes.json", force)
    with counted("measuring", quiet) as progress:
        report = run(codec, speech, progress)
    if output:
        write_report(output / "probes.json", report)
        probe_pictures.draw(output / "probes.png", report, codec)
    _show_probes(report)


def _claim(folder: Path, name: str, force: bool) -> None:
    """Make a folder for a report, and refuse one that holds a report of this name unless `force` is given."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    if (folder / name).exists() and not force:
        raise OutputError(f"{folder / name} exists already; replace it with --force")


def _show_probes(report: dict[str, Any]) -> None:
    from soundstream.evaluate.probes import table as probe_table

    head = probe_table.head(report)
    table = Table(head[0], *(Column(name, justify="right") for name in head[1:]), box=SIMPLE_HEAD)
    for line in probe_table.lines(report):
        table.add_row(*line)
    Console().print(table)
    Console().print(" ".join(probe_table.LEGEND.split()), highlight=False)
    if not report["speech"]:
        messages.print("speech was not measured; give a folder of CLIPS with clips in speech/")


def _draw_denoise(place: Path, noisy: Sequence[DenoiseItem], codec: Codec, report: dict[str, Any]) -> None:
    """Curves of the report, and spectrograms of one of the noisy sounds: that of rain, among the validation clips."""
    with needs(extra("eval")):
        from soundstream.evaluate.denoise import pictures as denoise_pictures
    place.mkdir(parents=True, exist_ok=True)
    denoise_pictures.draw_curves(place / "denoise.png", report)
    denoise_pictures.draw_spectrograms(place / "denoise_spectrograms.png", codec, noisy[len(noisy) // 4])
