"""All commands under one name, and how their errors look."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.text import Text

from soundstream import __version__
from soundstream.cli import bench, codes, convert, edit, evaluate, files, info, live, serve, tokenize
from soundstream.cli.display import messages, tell_warnings
from soundstream.cli.training import entropy, grow, imports, levels, train
from soundstream.errors import CodecError
from soundstream.system.processes import ending_cleanly

app = typer.Typer(
    help="A neural audio codec: speech, music and any sound at 1.5 to 18 kbit/s.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
COMMANDS: dict[str, Callable[..., None]] = {
    "encode": files.encode,
    "decode": files.decode,
    "cut": edit.cut,
    "cat": edit.cat,
    "info": info.info,
    "codes": codes.codes,
    "tokenize": tokenize.tokenize_corpus,
    "convert": convert.convert,
    "send": live.send,
    "receive": live.receive,
    "bench": bench.bench,
    "eval": evaluate.evaluate,
    "eval-denoise": evaluate.evaluate_denoise,
    "train": train.train,
    "train-report": train.train_report,
    "grow": grow.grow,
    "export": train.export,
    "import": imports.import_weights,
    "fit-levels": levels.fit_levels,
    "fit-entropy": entropy.fit_entropy,
    "release": train.release,
    "serve": serve.serve,
}
for name, command in COMMANDS.items():
    app.command(name=name)(command)


def _version(show: bool) -> None:
    if show:
        print(f"soundstream {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that come before a command."""


def main() -> None:
    """Run the command line: errors and warnings are one line each on stderr; an error exits with 1."""
    ending_cleanly()
    tell_warnings()
    try:
        app()
    except CodecError as error:
        messages.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # a disk that fails, a device that is none for sound
        named = f"{error.filename}: " if error.filename else ""
        messages.print(Text(f"error: {named}{error.strerror or error}", style="red"), soft_wrap=True)
        sys.exit(1)
