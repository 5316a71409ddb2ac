"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Input = Annotated[str, typer.Argument(metavar="INPUT", help="A file, or - for stdin.")]
Output = Annotated[str | None, typer.Option("-o", "--output", metavar="OUTPUT", help="A file, or - for stdout.")]
FileOutput = Annotated[str, typer.Option("-o", "--output", metavar="OUTPUT", help="A file, or - for stdout.")]
ModelOption = Annotated[str, typer.Option("--model", help="A shipped model's name, or the folder of another one.")]
FileModel = Annotated[
    str | None,
    typer.Option("--model", help="A shipped model's name or a folder; by default the one that the file names."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists already.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads of the networks.")]
