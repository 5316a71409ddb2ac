"""The server: the page, clips over HTTP, and the connections that code them. `protocol` says what is exchanged."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

import soundstream
from soundstream.errors import AudioError, CodecError, ConfigError, LimitError
from soundstream.serve.clips import ClipStore, read_clip
from soundstream.serve.limits import Limits, Places
from soundstream.serve.live import LiveConnection
from soundstream.serve.models import Models
from soundstream.serve.protocol import error_message, pcm_bytes
from soundstream.serve.session import ClientSession

PAGE = Path(__file__).parent / "page"
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_STATUS = {AudioError: 415, LimitError: 413}
_TRY_AGAIN_LATER = 1013


def make_app(models: Models, examples: Mapping[str, Path], limits: Limits | None = None) -> Starlette:
    """The ASGI application.

    Args:
        examples: audio files to offer, by the name that the page shows.
    """
    server = Server(models, examples, limits or Limits())
    routes = [
        Route("/about", server.about),
        Route("/examples/{name}", server.example),
        Route("/clips", server.add_clip, methods=["POST"]),
        Route("/clips/{clip}", server.clip),
        WebSocketRoute("/session", server.session),
        WebSocketRoute("/live", server.live),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    return Starlette(
        routes=routes,
        lifespan=server.lifespan,
        middleware=[Middleware(OriginGuard)],
        exception_handlers={CodecError: _error_response},
    )


class Server:
    """What the requests of one application share."""

    def __init__(self, models: Models, examples: Mapping[str, Path], limits: Limits) -> None:
        self._models = models
        self._examples = examples
        self._limits = limits
        self._clips = ClipStore(limits.clips_bytes)
        self._uploads = Places(limits.clients, "uploads")
        self._sessions = Places(limits.clients, "listeners")
        self._lives = Places(limits.live_clients, "live microphones")

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Hold the threads that do the work while the application runs; live sound does not wait for clips."""
        with (
            ThreadPoolExecutor(os.cpu_count(), "coding") as self._pool,
            ThreadPoolExecutor(self._limits.live_clients, "live") as self._live_pool,
        ):
            yield

    async def about(self, request: Request) -> Response:
        """What the page needs to know first."""
        return JSONResponse(
            {
                "version": soundstream.__version__,
                "models": self._models.facts(),
                "examples": list(self._examples),
                "limits": {
                    "upload_bytes": self._limits.upload_bytes,
                    "duration_s": self._limits.duration_s,
                    "channels": self._limits.channels,
                },
            }
        )

    async def example(self, request: Request) -> Response:
        """An example clip; only names of the list lead to a file."""
        name = request.path_params["name"]
        if name not in self._examples:
            raise ConfigError(f"there is no example {name[:60]!r}")
        return FileResponse(self._examples[name])

    async def add_clip(self, request: Request) -> Response:
        """Take an audio file."""
        with self._uploads.one():
            data = await self._body(request)
            work = partial(read_clip, io.BytesIO(data), self._limits)
            clip = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        channels, samples = clip.pcm.shape
        return JSONResponse(
            {
                "clip": self._clips.add(clip),
                "sample_rate": clip.sample_rate,
                "channels": channels,
                "samples": samples,
                "whole_s": clip.whole_s,
                "incomplete": list(clip.incomplete),
            }
        )

    async def clip(self, request: Request) -> Response:
        """The samples of a clip."""
        clip = self._clips.get(request.path_params["clip"])
        return Response(pcm_bytes(clip.pcm), media_type="application/octet-stream")

    async def session(self, socket: WebSocket) -> None:
        """A connection that codes clips."""
        session = ClientSession(socket, self._clips, self._models, self._limits, self._pool)
        await _run_in_place(self._sessions, socket, session)

    async def live(self, socket: WebSocket) -> None:
        """A connection that codes what is spoken into it."""
        connection = LiveConnection(socket, self._models, self._limits, self._live_pool)
        await _run_in_place(self._lives, socket, connection)

    async def _body(self, request: Request) -> bytes:
        """The body of a request, refused when it is too long or too slow."""
        most, body = self._limits.upload_bytes, bytearray()
        try:
            async with asyncio.timeout(self._limits.upload_s):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        raise LimitError(f"the file is too large; at most {most / 1e6:g} MB are taken here")
        except TimeoutError as error:
            raise LimitError(f"the file did not arrive within {self._limits.upload_s:g} s") from error
        return bytes(body)


async def _run_in_place(places: Places, socket: WebSocket, connection: ClientSession | LiveConnection) -> None:
    """Accept a connection and hold a place while it runs; what exceeds a limit is told and ends it."""
    await socket.accept()
    try:
        with places.one():
            await connection.run()
    except LimitError as error:
        await socket.send_json(error_message(error))
        await socket.close(_TRY_AGAIN_LATER)


class OriginGuard:
    """Middleware: security headers on every answer, and no requests that other web pages make."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless a page of another origin sent it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif _foreign(Headers(scope=scope)):
            await self._refuse(scope, receive, send)
        else:
            await self._app(scope, receive, partial(_send_with_headers, send))

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(1008, "another origin")
            return
        error = ConfigError("the request comes from a page of another origin")
        await JSONResponse(error_message(error), 403)(scope, receive, send)


def _foreign(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


async def _send_with_headers(send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        headers.update(SECURITY_HEADERS)
        headers.setdefault("Cache-Control", "no-cache")
    await send(message)


def _error_response(request: Request, error: Exception) -> Response:
    assert isinstance(error, CodecError)
    return JSONResponse(error_message(error), _STATUS.get(type(error), 404 if request.method == "GET" else 400))
