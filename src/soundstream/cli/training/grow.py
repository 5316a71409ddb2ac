"""The command that makes a larger network of a trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundstream.cli.options import Force
from soundstream.errors import ConfigError, OutputError
from soundstream.system.extras import extra, needs

_SIDES = "N[,N]"


def grow(
    state: Annotated[Path, typer.Argument(metavar="STATE", help="A checkpoint folder of a run.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="STATE", help="Checkpoint folder to write.")],
    width: Annotated[
        str | None,
        typer.Option("--width", metavar=_SIDES, help="Channels of the ConvNeXt blocks; a multiple of what they are."),
    ] = None,
    blocks: Annotated[str | None, typer.Option("--blocks", metavar=_SIDES, help="ConvNeXt blocks.")] = None,
    channels: Annotated[str | None, typer.Option("--channels", metavar=_SIDES, help="Channels of SEANet.")] = None,
    latent_dim: Annotated[
        int | None, typer.Option("--latent-dim", metavar="N", help="Channels of the latents.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of what is drawn.")] = 0,
    force: Force = False,
) -> None:
    """Make a wider or deeper network that computes the same as a trained one, to train on.

    [dim]soundstream grow runs/a/checkpoint -o runs/wide --width 1024 --blocks 4,10[/dim]: one number is for both sides,
    two are the encoder's and the decoder's. Go on with [dim]soundstream train ... --resume runs/wide[/dim] and a run
    file that has the settings which are printed. The state that is written holds the averaged weights and no moments.
    """
    with needs(extra("train")):
        from soundstream.train import checkpoint as ckpt
        from soundstream.train.grow import grown, larger
    if output.exists() and not force:
        raise OutputError(f"{output} exists already; choose another name or replace it with --force")
    words = {"width": width, "blocks": blocks, "channels": channels}
    sizes = {word: _numbers(word, text) for word, text in words.items() if text}
    sizes |= {"latent_dim": (latent_dim,)} if latent_dim is not None else {}
    if not sizes:
        raise ConfigError("nothing to grow; give --width, --blocks, --channels or --latent-dim")
    small = ckpt.load(state)
    large = grown(small, larger(small.codec, sizes), seed)
    ckpt.save(output, large)
    before, after = small.codec.to_dict(), large.codec.to_dict()
    for name in sorted(name for name in after if after[name] != before[name]):
        print(f"{name} = {after[name]}  # {before[name]}")


def _numbers(word: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--{word} is {text!r}; expected a whole number, or two with a comma between") from error
