"""The command that fits the entropy tables of a model; it needs PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from soundstream.entropy.tables import Tables
from soundstream.runtime.artifact import load_artifact
from soundstream.system.extras import extra, needs


def fit_entropy(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="A folder that `soundstream export` wrote.")],
    data: Annotated[list[Path], typer.Option("--data", metavar="FOLDER", help="Audio; may be repeated.")],
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, help="Most audio to code.")] = 360,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Training steps.")] = 8000,
    hidden: Annotated[int, typer.Option("--hidden", min=1, max=1024, help="Hidden units of a codebook.")] = 64,
    extend: Annotated[
        Path | None,
        typer.Option("--extend", metavar="TABLES", help="Tables of the codec before fit-levels; keep what they know."),
    ] = None,
) -> None:
    """Fit the entropy tables of a model to audio and put them into its folder, which gives it a new model id.

    `--extend` takes the entropy.npz of the same codec without codes of levels, and learns only what is new.
    Files made before keep the old id: keep a copy of a model that is in use.
    """
    with needs(extra("train")):
        from soundstream.train.entropy_extend import extending
        from soundstream.train.entropy_fit import FitConfig, fit, fit_artifact
    messages = Console(stderr=True)
    learn = extending(Tables.load(extend), load_artifact(artifact).spec.levels) if extend else fit
    print(fit_artifact(artifact, data, minutes, FitConfig(hidden=hidden, steps=steps), messages.print, learn))
