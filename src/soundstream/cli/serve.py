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
    static: Annotated[
        Path | None,
        typer.Option(
            "--static",
            metavar="FOLDER",
            help="Write a page for any static host: the codec runs in the browser.",
        ),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option("--runtime", metavar="FILE", help="With --static: onnxruntime-web of npm, a .tgz or a folder."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --static: write the folder anew.")] = False,
) -> None:
    """Open a web page to hear the codec: record or drop a clip, turn the rate, compare with the original."""
    with needs(extra("serve")):
        from soundstream.serve.running import examples_in, run
        from soundstream.serve.static_site import write_site
    if clips and not clips.is_dir():
        raise ConfigError(f"--clips {clips} is no folder")
    shown = clips or _examples()
    if static:
        size = write_site(static, model, examples_in(shown) if shown else {}, runtime, force)
        print(f"{static}: {size / 1e6:.1f} MB; serve it with any server, as python -m http.server -d {static}")
        return
    if runtime or force:
        raise ConfigError("--runtime and --force go with --static")
    if not _is_loopback(host):
        messages.print(
            f"warning: anyone who reaches {host} can use this server; it has limits but no passwords, "
            "and browsers give the microphone only to localhost or https",
            style="yellow",
            soft_wrap=True,
        )
    run(
        host,
        port,
        model,
        shown,
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
