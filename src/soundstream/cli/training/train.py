"""The commands of training and what follows: train, train-report, export and release; all but one need PyTorch."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from soundstream.cli.options import Force
from soundstream.cli.training.display import Display, print_line
from soundstream.errors import ConfigError
from soundstream.system.extras import extra, needs
from soundstream.system.files import atomic_output

if TYPE_CHECKING:
    from soundstream.train.checkpoint import Checkpoint
    from soundstream.train.data.corpus import Corpus
    from soundstream.train.report.records import RunLog

StateOption = Annotated[
    Path | None, typer.Option("--state", help="Also write a small checkpoint here, for `train --resume` elsewhere.")
]


def train(
    run_file: Annotated[Path, typer.Argument(metavar="RUN_FILE", help="Settings, such as configs/base.toml.")],
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            metavar="[CATEGORY=]FOLDER",
            help="Training audio; may be repeated. Its first folders are categories, unless one is named.",
        ),
    ],
    valid: Annotated[
        list[str],
        typer.Option("--valid", metavar="[CATEGORY=]FOLDER", help="Validation audio, never trained on; likewise."),
    ],
    out: Annotated[Path, typer.Option("-o", "--output", metavar="RUN", help="Folder for checkpoint/ and log.jsonl.")],
    resume: Annotated[
        Path | None,
        typer.Option("--resume", help="Checkpoint to go on from; the run folder's own if there is one."),
    ] = None,
    time_limit_s: Annotated[
        float | None,
        typer.Option("--time-limit", metavar="SECONDS", help="Train so long, by the clock; rates fall to zero."),
    ] = None,
    anneal_steps: Annotated[
        int | None,
        typer.Option("--anneal", min=1, metavar="STEPS", help="Cool down: end after so many steps at falling rates."),
    ] = None,
    validate_every_s: Annotated[
        float, typer.Option("--validate-every", metavar="SECONDS", help="Time between validations and saves.")
    ] = 600,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[
        str, typer.Option("--precision", help="auto, bf16 or fp32; auto is bf16 where the machine is fast at it.")
    ] = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the networks: minutes at the start, faster steps on a GPU.")
    ] = False,
    graphs: Annotated[
        bool, typer.Option("--graphs/--no-graphs", help="On a GPU, replay each step as one CUDA graph.")
    ] = True,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; all by default.")] = None,
) -> None:
    """Train a codec, or go on with a run.

    [dim]soundstream train configs/base.toml --data DATA --valid VALID -o runs/a[/dim] starts a run, and the same line
    again goes on with it. Ctrl-C stops it after the step and saves. With [dim]--time-limit 3600[/dim] the clock decides
    what begins when, and an hour later the run has ended, cooled down. A run without a limit is cooled down in a branch
    with a folder of its own: [dim]-o runs/a-cool --resume runs/a/checkpoint --anneal 2000[/dim].

    Several GPUs: [dim]torchrun --nproc-per-node 4 --no-python soundstream train ...[/dim]

    A terminal shows progress; a pipe gets the lines of log.jsonl. [dim]soundstream train-report[/dim] draws them.
    """
    with needs(extra("train")):
        import torch

        from soundstream.train.config import annealed, load_run, timed
        from soundstream.train.data.arrivals import Arrivals
        from soundstream.train.loop import Trainer
    if anneal_steps and time_limit_s is not None:
        raise ConfigError("--anneal and --time-limit both say when the rates fall to zero; choose one")
    if threads:
        torch.set_num_threads(threads)
    state = _state(out, resume)
    config = load_run(run_file)
    if config.stage != "codec" and not state:
        raise ConfigError(f"stage {config.stage} trains a part of a trained codec; give its state with --resume")
    if anneal_steps:
        config = annealed(config, state.progress.step if state else 0, anneal_steps)
    if time_limit_s is not None:
        config = timed(config, time_limit_s)
    audio, held_out = (_load(folders, config.codec.sample_rate, out) for folders in (data, valid))
    options: dict[str, Any] = {"device": device, "precision": precision, "compile": compiled, "graphs": graphs}
    options["arrivals"] = Arrivals(audio, data, _cache(data, out))
    trainer = Trainer(config, audio, held_out, out, state, **options)
    if not sys.stdout.isatty():
        trainer.fit(validate_every_s, print_line)
        return
    with Display(trainer.step, config.total_steps, config.time_limit_s) as display:
        trainer.fit(validate_every_s, display.show)


def train_report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; several are overlaid.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A folder for curves.png and summary.json, or a .png file.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON instead of tables.")] = False,
    force: Force = False,
) -> None:
    """Draw the curves of training runs from their logs, and show the last validation.

    [dim]soundstream train-report runs/a runs/b -o report[/dim] compares two runs. Works while they train.
    """
    with needs(extra("plot")):
        from soundstream.train.report import curves
        from soundstream.train.report.records import read_log, summary
    logs = [read_log(run) for run in runs]
    text = json.dumps([summary(log) for log in logs], indent=2) + "\n"
    picture = output if output.suffix.lower() == ".png" else output / "curves.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(picture, force) as file:
        curves.draw(file, logs)
    if picture != output:
        with atomic_output(output / "summary.json", force) as file:
            file.write(text.encode())
    if as_json:
        print(text, end="")
        return
    for log in logs:
        _show_run(log)


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint folder of a run.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Artifact folder to write.")],
    state: StateOption = None,
    portable: Annotated[
        Path | None,
        typer.Option("--portable", help="Also write a checkpoint of half the size that goes on with its moments."),
    ] = None,
) -> None:
    """Write a trained model as an artifact: ONNX graphs, codebooks, config and model id.

    [dim]soundstream release[/dim] does the same and checks, measures and describes the model.
    """
    with needs(extra("train")):
        from soundstream.export.artifact import export as write
        from soundstream.train import checkpoint as ckpt
    print(write(ckpt.load_model(checkpoint), output))
    for folder, smaller in ((state, ckpt.compact), (portable, ckpt.portable)):
        if folder:
            ckpt.save(folder, smaller(ckpt.load(checkpoint)))


def release(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint folder of a run.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="ARTIFACT", help="Artifact folder to write.")],
    valid: Annotated[Path, typer.Option("--valid", metavar="FOLDER", help="Validation audio, never trained on.")],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", metavar="FOLDER", help="Training audio to fit entropy tables to; may be repeated."),
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option("--tables", metavar="FILE", help="entropy.npz of an earlier fit to these codebooks; no new fit."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Check the export, but do not measure quality.")] = False,
    codecs: Annotated[
        str | None, typer.Option("--codecs", help="What to measure, as `soundstream eval` names it.")
    ] = None,
    metrics: Annotated[str | None, typer.Option("--metrics", help="Metrics, as for `soundstream eval`.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Most clips of a class.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; one a CPU core by default.")] = None,
    work: Annotated[
        Path | None,
        typer.Option("--work", metavar="FOLDER", help="Where measurements are kept; release/ in the run folder."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", metavar="FOLDER", help="Also write quality.json, probes.json and training.json here."
        ),
    ] = None,
    sources: Annotated[
        Path | None,
        typer.Option("--sources", metavar="TSV", help="Table of data and licences; SOURCES.tsv beside VALID."),
    ] = None,
    notes: Annotated[
        Path | None, typer.Option("--notes", metavar="MARKDOWN", help="What to say of the model's use and limits.")
    ] = None,
    state: StateOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the artifact that is there.")] = False,
) -> None:
    """Turn a checkpoint into an artifact to ship: export, parity check, probes, measured quality, model card.

    [dim]soundstream release runs/a/checkpoint -o models/a --valid VALID --data DATA[/dim]

    Where an artifact lies in the place already, both are measured on the same clips and compared; it is replaced only
    with [dim]--force[/dim]. What was measured is kept, so that the same line again takes little time.
    """
    with needs(extra("train") if quick else extra("train", "eval")):
        from soundstream.release import release as run

        if not quick:
            import soundstream.release.quality  # noqa: F401
    plan = run.Plan(
        checkpoint=checkpoint,
        output=output,
        valid=valid,
        entropy_data=tuple(data or ()),
        tables=tables,
        work=work or checkpoint.resolve().parent / "release",
        codecs=None if quick else codecs or run.CODECS,
        metrics=tuple(name.strip() for name in metrics.split(",")) if metrics else None,
        limit=limit,
        jobs=jobs or os.cpu_count() or 1,
        results=results,
        sources=sources,
        notes=notes,
        state=state,
        force=force,
    )
    run.release(plan, say=partial(Console(stderr=True).print, soft_wrap=True))


def _state(out: Path, resume: Path | None) -> Checkpoint | None:
    """The state to go on from: the run's own, which goes on with its time limit too, or another to branch off from."""
    from soundstream.train import checkpoint

    if not resume:
        found = checkpoint.find(out / "checkpoint")
        return checkpoint.load(found) if found else None
    state = checkpoint.load(resume)
    return replace(state, progress=replace(state.progress, elapsed_s=0.0))


def _cache(folders: list[str], out: Path) -> Path:
    return out.parent / "cache" / ("+".join(folder.rstrip("/").split("/")[-1] for folder in folders) + ".npy")


def _load(folders: list[str], sample_rate: int, out: Path) -> Corpus:
    from soundstream.train.data.corpus import load_corpus

    cache = _cache(folders, out)
    corpus = load_corpus(folders, sample_rate, cache, _counter(cache.stem))
    if os.environ.get("RANK", "0") == "0":
        print(f"{', '.join(folders)}\n{corpus.report()}", file=sys.stderr)
    return corpus


def _counter(name: str) -> Callable[[int, int], None]:
    progress = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    task = progress.add_task(f"reading {name}", total=None)

    def show(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total)
        (progress.stop if done == total else progress.start)()

    return show


def _show_run(log: RunLog) -> None:
    """The last validation as tables, and events."""
    console = Console()
    if not log.validation:
        console.print(f"{log.name}: no validation yet")
        return
    last = log.validation[-1]
    right = [Column(name, justify="right") for name in ("codebooks in use", "SNR, dB", "log-mel", "perplexity", "dead")]
    table = Table(*right, title=f"{log.name}, validation at step {last['step']:,}", title_justify="left")
    for count in log.counts():
        figures = [last.get(f"snr_db_{count}"), last.get(f"mel_log_{count}")]
        books = [(last.get(name) or [])[count - 1 : count] for name in ("perplexity", "dead")]
        table.add_row(str(count), *map(_cell, figures), *(_cell(book[0] if book else None) for book in books))
    console.print(table)
    console.print(f"effective rank {_cell(last.get('rank'))}, scale of the latents {_cell(last.get('latent_std'))}")
    for event in log.events:
        console.print(f"step {event['step']:,}: {event['event']}", markup=False, highlight=False)
    if log.unreadable:
        console.print(f"{log.unreadable} lines of the log cannot be read and are left out")


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"
