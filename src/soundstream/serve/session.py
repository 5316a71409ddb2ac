"""A connection that codes clips: one job at a time, the newest request first."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from soundstream.codec import Codec
from soundstream.errors import CodecError, ConfigError, LimitError
from soundstream.serve.clips import ClipStore, SentClip
from soundstream.serve.jobs import Coded, code
from soundstream.serve.limits import Limits
from soundstream.serve.models import Models
from soundstream.serve.protocol import CodeRequest, error_message, parse, pcm_bytes

logger = logging.getLogger(__name__)

_PROGRESS_S = 0.15


class Stopped(Exception):
    """Raised inside a job that nobody waits for any more."""


class ClientSession:
    """One page's connection."""

    def __init__(self, socket: WebSocket, clips: ClipStore, models: Models, limits: Limits, pool: Executor) -> None:
        self._socket = socket
        self._clips = clips
        self._models = models
        self._limits = limits
        self._pool = pool
        self._jobs: set[asyncio.Task[None]] = set()
        self._stop = threading.Event()
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Answer requests until the client goes, or says nothing for too long."""
        try:
            while True:
                async with asyncio.timeout(self._limits.idle_s):
                    message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self._answer(message.get("text"))
        except TimeoutError:
            await self._socket.close(1001, "idle")
        finally:
            self._stop.set()

    async def _answer(self, text: str | None) -> None:
        try:
            kind, data = parse(text)
            if kind != "code":
                raise ConfigError(f"message type {kind[:60]!r} is unknown here; expected 'code'")
            request = CodeRequest.of(data)
        except CodecError as error:
            await self._send(error_message(error))
            return
        self._stop.set()
        self._stop = threading.Event()
        job = asyncio.create_task(self._code(request, self._stop))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _code(self, request: CodeRequest, stop: threading.Event) -> None:
        try:
            clip, codec = self._clips.get(request.clip), self._models.get(request.model)
            watch = _Watch(stop, self._limits.job_s)
            work = partial(_code, codec, clip, request, watch)
            future = asyncio.get_running_loop().run_in_executor(self._pool, work)
            while not (await asyncio.wait({future}, timeout=_PROGRESS_S))[0]:
                if not stop.is_set():
                    await self._send({"type": "progress", "request": request.request, "share": round(watch.share, 3)})
            coded = await future
            if coded and not stop.is_set():
                await self._send_coded(request, clip, coded)
        except CodecError as error:
            await self._send(error_message(error, request.request))
        except WebSocketDisconnect:
            stop.set()
        except Exception:
            logger.exception("coding failed")
            failed = CodecError("the server could not code this clip; its log says why")
            await self._send(error_message(failed, request.request))

    async def _send_coded(self, request: CodeRequest, clip: SentClip, coded: Coded) -> None:
        head = {"type": "coded", "request": request.request, **coded.facts(clip)}
        async with self._sending:
            await self._socket.send_json(head)
            await self._socket.send_bytes(coded.data + pcm_bytes(coded.pcm))

    async def _send(self, message: dict[str, Any]) -> None:
        async with self._sending:
            await self._socket.send_json(message)


def _code(codec: Codec, clip: SentClip, request: CodeRequest, watch: _Watch) -> Coded | None:
    """In a thread: the coded clip, None if the work was stopped."""
    try:
        return code(codec, clip, request.bitrate, request.denoise, request.loss, watch)
    except Stopped:
        return None


class _Watch:
    """Looks on from a job's thread: keeps how far it is, and ends it when it is late or unwanted."""

    def __init__(self, stop: threading.Event, max_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.share = 0.0
        self._stop = stop
        self._max_s = max_s
        self._end = clock() + max_s
        self._clock = clock

    def __call__(self, share: float) -> None:
        if self._stop.is_set():
            raise Stopped
        if self._clock() > self._end:
            raise LimitError(f"coding took longer than {self._max_s:g} s; choose a shorter clip")
        self.share = share
