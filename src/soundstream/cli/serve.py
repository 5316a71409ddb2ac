"""The command `serve`: a web page where a person hears the codec."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from soundstream.errors import ConfigError
from soundstream.system.extras import extra, needs

_CHECKOUT = Path(__file__).parents[3]

messages = Console(stderr=True)


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="TCP port; 0 takes a free one.")] = 8000,
    model: Annotated[
        str, typer.Option("--model", help="Model to begin with: a shipped one's name, or the folder of another.")
    ] = "default",
    clips: Annotated[
        Path | None, typer.Option("--clips", metavar="FOLDER", help="Audio files to offer as examples on the page.")
    ] = None,
) -> None:
    """Open a web page to hear the codec: record or drop a clip, turn the rate, compare with the original."""
    with needs(extra("serve")):
        from soundstream.serve.running import run
    if not _is_loopback(host):
        messages.print(
            f"warning: anyone who reaches {host} can use this server; it has limits but no passwords, "
            "and browsers give the microphone only to localhost or https",
            style="yellow",
            soft_wrap=True,
        )
    if clips and not clips.is_dir():
        raise ConfigError(f"--clips {clips} is no folder")
    run(
        host,
        port,
        model,
        clips or _examples(),
        lambda address: print(f"Listening on {address} (Ctrl+C ends)", flush=True),
    )


def _examples() -> Path | None:
    """Clips of a source checkout; an installed package has none."""
    return _CHECKOUT / "examples" / "clips" if (_CHECKOUT / "pyproject.toml").is_file() else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
