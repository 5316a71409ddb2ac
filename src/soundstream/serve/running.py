"""Runs the server until it is interrupted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn

from soundstream import audio
from soundstream.errors import OutputError
from soundstream.serve.app import make_app
from soundstream.serve.limits import Limits
from soundstream.serve.models import Models

_MAX_EXAMPLES = 12
_END_S = 3


def run(host: str, port: int, model: str, clips: Path | None, started: Callable[[str], None]) -> None:
    """Serve the page until Ctrl+C.

    Args:
        port: 0 takes a free one.
        clips: folder of example clips; None is none.
        started: told the page's address once the port is open.
    Raises:
        ArtifactError: the model is missing or damaged.
        OutputError: the address cannot be had.
    """
    limits = Limits()
    app = make_app(Models(model), examples_in(clips) if clips else {}, limits)
    config = uvicorn.Config(
        app,
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=limits.message_bytes,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_END_S,
        server_header=False,
    )
    with _listening(host, port) as listener:
        started(_address(host, listener))
        with suppress(KeyboardInterrupt):
            asyncio.run(uvicorn.Server(config).serve([listener]))


def examples_in(folder: Path) -> dict[str, Path]:
    """The first audio files of a folder by name; none if there is no such folder."""
    found = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in audio.SUFFIXES and path.is_file()]
    return {path.name: path for path in found[:_MAX_EXAMPLES]}


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=64)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"cannot listen on {host} port {port}: {reason}; choose another --port") from error


def _address(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"
