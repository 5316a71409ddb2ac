"""The command that turns the files of another codec's own program into ours, and back: convert."""

from __future__ import annotations

from typing import Annotated

import typer

from soundstream.cli.options import Force
from soundstream.codec.ecdc_files import convert_file


def convert(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="An .ecdc or .nac file.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="OUTPUT", help="A .nac or .ecdc file.")],
    model: Annotated[
        str, typer.Option("--model", help="A folder of EnCodec's 24 kHz weights, of `soundstream import`.")
    ],
    force: Force = False,
) -> None:
    """Make a .nac file of EnCodec's own .ecdc, or the other way round: the same codes, and no sound is decoded.

    [dim]soundstream convert talk.ecdc -o talk.nac --model encodec[/dim]. Files that EnCodec's language model coded are
    refused: what they need differs from machine to machine.
    """
    convert_file(source, output, model=model, force=force)
