"""The commands that take .nac files apart and together without decoding: cut, cat."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from soundstream.bitstream import Reader
from soundstream.cli.options import FileModel, FileOutput, Force, Input, seconds
from soundstream.codec import codec_for, editing
from soundstream.codec.paths import check_nac_name
from soundstream.system.files import check_not_input, named, open_input, open_output


def cut(
    source: Input,
    output: FileOutput,
    start_s: Annotated[
        float, typer.Option("--from", parser=seconds, metavar="TIME", help="Start: 90, or 1:30; else that of the file.")
    ] = 0.0,
    end_s: Annotated[
        float | None, typer.Option("--to", parser=seconds, metavar="TIME", help="End; else that of the file.")
    ] = None,
    model: FileModel = None,
    force: Force = False,
) -> None:
    """Write a part of a .nac file, exact to the sample, without decoding it."""
    check_nac_name(output)
    check_not_input(output, source)
    with open_input(source) as stream:
        reader = Reader(stream)
        codec = codec_for(reader, model)
        with named(reader.name), open_output(output, force) as target:
            editing.cut(codec, reader, target, start_s, end_s)


def cat(
    sources: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files of one model, rate and channels.")],
    output: FileOutput,
    model: FileModel = None,
    force: Force = False,
) -> None:
    """Join .nac files without decoding them; parts that were cut from one become it again."""
    check_nac_name(output)
    check_not_input(output, *sources)
    with ExitStack() as stack:
        readers = [Reader(stack.enter_context(open_input(source))) for source in sources]
        codec = codec_for(readers[0], model)
        editing.cat(codec, readers, stack.enter_context(open_output(output, force)))
