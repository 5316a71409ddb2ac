"""The commands that need PyTorch: train and export."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from soundstream.errors import ConfigError
from soundstream.extras import needs


def train(
    run_file: Annotated[Path, typer.Argument(help="A run file, such as configs/base.toml.")],
    data: Annotated[
        Path, typer.Option("--data", help="Folder tree of training audio; its first folders are categories.")
    ],
    valid: Annotated[Path, typer.Option("--valid", help="Folder tree of validation audio, never trained on.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Run folder: checkpoint/ and log.jsonl.")],
    resume: Annotated[
        Path | None,
        typer.Option("--resume", help="Checkpoint to go on from; the run folder's own if there is one."),
    ] = None,
    time_limit_s: Annotated[
        float | None, typer.Option("--time-limit", help="Stop cleanly after this many seconds.")
    ] = None,
    anneal_steps: Annotated[
        int | None,
        typer.Option("--anneal", help="End after this many more steps, the learning rate falling to zero."),
    ] = None,
    validate_every_s: Annotated[float, typer.Option("--validate-every", help="Seconds between validations.")] = 600,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; all by default.")] = None,
) -> None:
    """Train a codec, or go on with a run. Log lines go to stdout and to log.jsonl."""
    with needs("'soundstream[train]'"):
        import torch

        from soundstream.train import checkpoint
        from soundstream.train.config import load_run
        from soundstream.train.data import load_corpus
        from soundstream.train.loop import Trainer
    if threads:
        torch.set_num_threads(threads)
    found = resume or checkpoint.find(out / "checkpoint")
    state = checkpoint.load(found) if found else None
    step = state.step if state else 0
    changes = {"total_steps": step + anneal_steps, "decay_steps": anneal_steps} if anneal_steps else {}
    config = load_run(run_file, **changes)
    if state and state.config.codec != config.codec:
        raise ConfigError(f"{found} holds another model than {run_file} describes")
    corpora = {}
    for folder in (data, valid):
        corpora[folder] = load_corpus(folder, config.codec.sample_rate, _cache(folder, out), _counter(folder))
        print(f"{folder}\n{corpora[folder].report()}", file=sys.stderr)
    Trainer(config, corpora[data], corpora[valid], out, state).fit(time_limit_s, validate_every_s, _print_entry)


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint folder of a run.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Artifact folder to write.")],
    state: Annotated[
        Path | None, typer.Option("--state", help="Also write a small checkpoint here, for `train --resume` elsewhere.")
    ] = None,
) -> None:
    """Write a trained model as an artifact: ONNX graphs, codebooks, config and model id."""
    with needs("'soundstream[train]'"):
        from soundstream.nn.export import export as write
        from soundstream.train import checkpoint as ckpt
    print(write(ckpt.load_model(checkpoint), output))
    if state:
        ckpt.save(state, ckpt.compact(ckpt.load(checkpoint)))


def _cache(folder: Path, out: Path) -> Path:
    return out.parent / "cache" / f"{folder.resolve().name}.npy"


def _counter(folder: Path) -> Any:
    from rich.console import Console
    from rich.progress import Progress

    progress = Progress(console=Console(stderr=True), transient=True)
    task = progress.add_task(f"reading {folder}", total=None)

    def show(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total)
        (progress.stop if done == total else progress.start)()

    return show


def _print_entry(entry: dict[str, Any]) -> None:
    print(json.dumps(entry), flush=True)
