"""The command that takes the codes out of sound, and makes sound of codes: codes."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from soundstream.cli.display import messages
from soundstream.cli.options import FileModel, Force, Quiet, with_encode_options
from soundstream.codec.code_files import codes_from_file, codes_to_file, kind_of
from soundstream.errors import ConfigError
from soundstream.runtime.options import EncodeOptions


@partial(with_encode_options, of_files=False)
def codes(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="An audio or .nac file, or codes in a .npy file.")],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="OUTPUT", help="x.npy for codes; x.wav or x.nac of codes.")
    ],
    *,
    flat: Annotated[
        bool, typer.Option("--flat", help="All codes in one row, coarse to fine and interleaved by time.")
    ] = False,
    options: EncodeOptions,
    model: FileModel = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write the codes of a sound as an array, or make sound of such an array.

    [dim]soundstream codes talk.wav -o talk.npy[/dim] writes whole numbers, streams x codebooks x frames, which
    numpy.load reads; rate, length and model stand behind them.

    [dim]soundstream codes talk.nac -o talk.npy[/dim] takes out those of a file as they are.

    [dim]soundstream codes talk.npy -o talk.wav[/dim] makes sound, with the length of the original; a plain array of
    codes will do too.
    """
    to_codes = Path(output).suffix.lower() == ".npy"
    if to_codes == (kind_of(source) == "npy"):
        raise ConfigError("codes goes from sound to a .npy file, or back: one of the two names has to be such a file")
    if flat and not to_codes:
        raise ConfigError("--flat is for codes to be written; a file that has them in one row says so itself")
    if not to_codes:
        codes_from_file(source, output, model=model, force=force)
        return
    coded = codes_to_file(source, output, **asdict(options), model=model, force=force, flat=flat)
    if not quiet:
        streams, count, frames = coded.codes.shape
        of = "stream" if streams == 1 else "streams"
        line = f"{source} -> {output}: {frames:,} frames of {count} codes, {streams} {of}"
        messages.print(line, soft_wrap=True, markup=False, highlight=False)
