"""The command that turns the files of another codec's own program into ours, and back: convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundstream.cli.options import Force
from soundstream.codec.ecdc_files import convert_file
from soundstream.errors import ConfigError
from soundstream.system.extras import extra, needs


def convert(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="An .ecdc or .nac file.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="OUTPUT", help="A .nac or .ecdc file.")],
    model: Annotated[
        str, typer.Option("--model", help="A folder of EnCodec's weights, of `soundstream import encodec`.")
    ],
    not_portable: Annotated[
        bool, typer.Option("--not-portable", help="Try files that EnCodec's language model coded; see below.")
    ] = False,
    language_model: Annotated[
        Path | None,
        typer.Option("--language-model", metavar="FILE", help="With --not-portable: that model's published weights."),
    ] = None,
    force: Force = False,
) -> None:
    """Make a .nac file of EnCodec's own .ecdc, or the other way round: the same codes, and no sound is decoded.

    [dim]soundstream convert talk.ecdc -o talk.nac --model encodec[/dim]. Files that EnCodec's language model coded are
    refused: the probabilities they need differ in their last bits from machine to machine. [dim]--not-portable
    --language-model encodec_lm_24khz-1608e3c0.th[/dim] tries them, on PyTorch; wrong codes are noticed at the end of
    the file, or of a second of stereo, and no file is written.
    """
    if not_portable != (language_model is not None):
        raise ConfigError("--not-portable needs the weights, --language-model FILE; and these need --not-portable")
    language = None
    if language_model is not None:
        with needs(extra("train")):
            from soundstream.nn.encodec_language import read_language_model
        language = read_language_model(language_model)
    convert_file(source, output, model=model, language=language, force=force)
