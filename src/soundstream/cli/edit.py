"""The commands that take .nac files apart and together without decoding: cut, cat."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from soundstream import editing
from soundstream.bitstream import Reader
from soundstream.cli.files import codec_for, nac_output
from soundstream.cli.options import FileModel, FileOutput, Force, Input
from soundstream.files import open_input


def cut(
    source: Input,
    output: FileOutput,
    start_s: Annotated[float, typer.Option("--from", min=0, metavar="SECONDS", help="Start, to the frame.")] = 0.0,
    end_s: Annotated[float | None, typer.Option("--to", metavar="SECONDS", help="End; else that of the file.")] = None,
    model: FileModel = None,
    force: Force = False,
) -> None:
    """Write a part of a .nac file without decoding it."""
    with open_input(source) as stream, nac_output(output, force) as target:
        reader = Reader(stream)
        editing.cut(codec_for(reader.header, model), reader, target, start_s, end_s)


def cat(
    sources: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files of one model, rate and channels.")],
    output: FileOutput,
    model: FileModel = None,
    force: Force = False,
) -> None:
    """Join .nac files without decoding them."""
    with ExitStack() as stack:
        readers = [Reader(stack.enter_context(open_input(source))) for source in sources]
        codec = codec_for(readers[0].header, model)
        editing.cat(codec, readers, stack.enter_context(nac_output(output, force)))
