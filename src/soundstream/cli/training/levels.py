"""The command that gives a trained codec codes for the levels of bands; it needs PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from soundstream.cli.options import Force
from soundstream.errors import OutputError
from soundstream.system.extras import extra, needs


def fit_levels(
    state: Annotated[Path, typer.Argument(metavar="STATE", help="A checkpoint folder of a run.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="STATE", help="Checkpoint folder to write.")],
    data: Annotated[list[Path], typer.Option("--data", metavar="FOLDER", help="Audio; may be repeated.")],
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, help="Most audio to code.")] = 100,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Training steps of the network that finds them.")] = 3000,
    random_signs: Annotated[
        bool,
        typer.Option(
            "--random-signs",
            help="Let decoded signs be random above 2.4 kHz, where the codec follows no waveform: no lines in hiss.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of what is drawn.")] = 0,
    force: Force = False,
) -> None:
    """Fit a code for the levels of bands to a trained codec, which decoders then correct.

    It is the last step of training: encoder, decoder and codebooks stay as they are. The state that is written can be
    exported and released as any other; entropy tables are fitted anew.
    """
    with needs(extra("train")):
        from soundstream.release.levels import fitted
        from soundstream.train import checkpoint as ckpt
        from soundstream.train.levels_fit import LevelFitConfig
    if output.exists() and not force:
        raise OutputError(f"{output} exists already; choose another name or replace it with --force")
    messages = Console(stderr=True)
    config = LevelFitConfig(steps=steps, seed=seed)
    ckpt.save(output, fitted(ckpt.load(state), data, minutes, config, messages.print, random_signs))
    print(output)
