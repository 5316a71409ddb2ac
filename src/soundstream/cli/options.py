"""Options and arguments that several commands share."""

from __future__ import annotations

import math
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
Bitrate = Annotated[
    int | None,
    typer.Option(
        "--bitrate", "-b", help="Bit/s of each channel: 6000 if not said; 750 to 18000 in steps of 750 of base."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists already.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no line of sizes.")]
Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files, folders, or - for stdin.")]
Place = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="OUTPUT", help="A file, a folder for many, or - for stdout."),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Files at once, of many; one a CPU core by default.")
]
RawSound = Annotated[
    str | None,
    typer.Option(
        "--raw",
        metavar="RATE[:CHANNELS[:ENCODING]]",
        help="The input is headerless, such as 16000:1:s16; u8, s8, s16, s24, s32, f32, f64, ulaw, alaw; be behind it.",
    ),
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads of the networks.")]


def seconds(text: str) -> float:
    """A time such as 90, 1:30 or 1:02:03.5 in seconds.

    Raises:
        BadParameter: it is none.
    """
    parts = str(text).split(":")
    try:
        numbers = [*(int(part) for part in parts[:-1]), float(parts[-1])]
    except ValueError:
        numbers = [math.nan]
    if len(numbers) > 3 or not all(0 <= number < math.inf for number in numbers) or any(n >= 60 for n in numbers[1:]):
        raise typer.BadParameter(f"{text!r} is no time; expected seconds, or 1:30, or 1:02:03.5")
    return sum(number * 60**place for place, number in enumerate(reversed(numbers)))
