"""Options and arguments that several commands share."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from soundstream.errors import ConfigError
from soundstream.runtime.options import EncodeOptions, option_fields

Input = Annotated[str, typer.Argument(metavar="INPUT", help="A file, or - for stdin.")]
Output = Annotated[str | None, typer.Option("-o", "--output", metavar="OUTPUT", help="A file, or - for stdout.")]
FileOutput = Annotated[str, typer.Option("-o", "--output", metavar="OUTPUT", help="A file, or - for stdout.")]
ModelOption = Annotated[str, typer.Option("--model", help="A shipped model's name, or the folder of another one.")]
FileModel = Annotated[
    str | None,
    typer.Option("--model", help="A shipped model's name or a folder; by default the one that the file names."),
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


def with_encode_options(
    command: Callable[..., None], *, of_files: bool = True, **defaults: object
) -> Callable[..., None]:
    """A command whose parameter `options` is each field of `EncodeOptions` on the command line.

    Args:
        of_files: with those that only files have.
        defaults: values of fields where the command has others than `EncodeOptions`.
    """
    fields = {name: found for name, found in option_fields().items() if of_files or not found[1].of_files}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        wanted = [_parameter(name, defaults) for name in fields] if parameter.name == "options" else [parameter]
        parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in wanted]

    @wraps(command)
    def call(**words: Any) -> None:
        chosen = {name: words.pop(name) for name in fields}
        if "tags" in chosen:
            chosen["tags"] = _tags(chosen["tags"] or [])
        command(options=EncodeOptions(**chosen), **words)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _parameter(name: str, defaults: Mapping[str, object]) -> inspect.Parameter:
    """A field of `EncodeOptions` as typer takes it; tags are a list of NAME=VALUE there."""
    field, told = option_fields()[name]
    kind = get_type_hints(EncodeOptions)[name]
    kind = list[str] | None if name == "tags" else kind
    flags = told.flags or (f"--{name.replace('_', '-')}",)
    option = typer.Option(*flags, metavar=told.metavar, help=told.text)
    default = defaults.get(name, field.default)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def _tags(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise ConfigError(f"--tag {pair!r} has no '='; expected NAME=VALUE")
    tags = dict(pair.split("=", 1) for pair in pairs)
    if len(tags) < len(pairs):
        raise ConfigError("a name stands twice in --tag; each can have one value")
    return tags
