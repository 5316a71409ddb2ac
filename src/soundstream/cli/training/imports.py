"""The command that makes an artifact of weights that others published; it needs PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundstream.cli.options import Force
from soundstream.system.extras import extra, needs


def import_weights(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="Whose networks they are: encodec, dac, snac.")],
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="Which published model, such as 24khz.")],
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS", help="The published file: .th, .pth, .bin, .safetensors; or ORG/NAME of a hub."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Artifact folder to write.")],
    force: Force = False,
) -> None:
    """Make a model of weights that others published: EnCodec's, DAC's or SNAC's.

    [dim]soundstream import encodec 24khz encodec_24khz-d7cc33bc.th -o encodec[/dim], then
    [dim]soundstream encode talk.wav --model encodec[/dim]. Files may be of the authors, or of `transformers` where it
    has the model. Nothing in them is executed. The model's card says where the weights come from, and their licence.
    """
    with needs(extra("train")):
        from soundstream.export.published import import_published
    print(import_published(family, variant, weights, output, force))
