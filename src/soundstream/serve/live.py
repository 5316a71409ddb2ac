"""A connection that codes a microphone: pcm in, packets made, some of them lost, and what is heard of the rest back."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np
from starlette.websockets import WebSocket

from soundstream.arrays import Array
from soundstream.codec import Codec
from soundstream.errors import CodecError, ConfigError, LimitError
from soundstream.live.network.simulate import RandomLoss
from soundstream.serve.limits import Limits
from soundstream.serve.models import Models
from soundstream.serve.protocol import LiveOpen, LiveSet, error_message, parse, pcm_bytes, pcm_of


class LiveConnection:
    """One microphone's connection."""

    def __init__(self, socket: WebSocket, models: Models, limits: Limits, pool: Executor) -> None:
        self._socket = socket
        self._models = models
        self._limits = limits
        self._pool = pool
        self._line: Loopback | None = None

    async def run(self) -> None:
        """Code until the client goes.

        Raises:
            LimitError: it talks for too long.
        """
        try:
            async with asyncio.timeout(self._limits.live_s):
                while (message := await self._socket.receive())["type"] != "websocket.disconnect":
                    await self._answer(message)
        except TimeoutError as error:
            raise LimitError(f"a live connection ends after {self._limits.live_s:g} s; start it again") from error

    async def _answer(self, message: Any) -> None:
        try:
            if message.get("bytes") is not None:
                await self._sound(message["bytes"])
            else:
                self._control(*parse(message.get("text")))
        except CodecError as error:
            await self._socket.send_json(error_message(error))

    def _control(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "open" and not self._line:
            wanted = LiveOpen.of(data)
            self._line = Loopback(self._models.get(wanted.model), wanted)
        elif kind == "set" and self._line:
            self._line.set(LiveSet.of(data))
        else:
            raise ConfigError(f"message type {kind[:60]!r} is not expected now; first 'open' once, then 'set'")

    async def _sound(self, data: bytes) -> None:
        if not self._line:
            raise ConfigError("got pcm before an 'open' message")
        pcm = pcm_of(data, self._line.sample_rate)
        work = partial(self._line.push, pcm)
        heard = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        await self._socket.send_bytes(pcm_bytes(heard))
        if stats := self._line.stats():
            await self._socket.send_json({"type": "stats", **stats})


class Loopback:
    """A live encoder, a network that loses packets, and a live decoder."""

    def __init__(self, codec: Codec, wanted: LiveOpen) -> None:
        self.sample_rate = wanted.sample_rate
        self._spec = codec.spec
        self._spec.check_denoise(wanted.denoise)
        self._encoder = codec.open_encoder(wanted.sample_rate, 1, wanted.bitrate, denoise=wanted.denoise)
        self._decoder = codec.open_decoder(wanted.sample_rate, 1)
        self._loss = RandomLoss(wanted.loss)
        self._rng = np.random.default_rng()
        self._begin()

    def _begin(self) -> None:
        self._samples = self._bits = self._packets = self._lost = 0
        self._busy_s = 0.0

    def set(self, wanted: LiveSet) -> None:
        """Go on with other settings, from the next packet on.

        Raises:
            ConfigError: the model does not have them; nothing changes.
        """
        self._spec.check_denoise(wanted.denoise)
        self._encoder.bitrate = wanted.bitrate
        self._encoder.denoise = wanted.denoise
        self._loss = RandomLoss(wanted.loss)

    def push(self, pcm: Array) -> Array:
        """Take pcm `[1, samples]`; give what comes out at the other end, `[1, samples]` of another length."""
        started = time.perf_counter()
        packets = self._encoder.push(pcm)
        lost = self._loss.draw(len(packets), self._rng)
        heard = [self._decoder.push(None if gone else packet) for packet, gone in zip(packets, lost, strict=True)]
        self._samples += pcm.shape[1]
        self._bits += 8 * sum(map(len, packets))
        self._packets += len(packets)
        self._lost += int(lost.sum())
        self._busy_s += time.perf_counter() - started
        return np.concatenate([np.zeros((1, 0), np.float32), *heard], axis=1)

    def stats(self) -> dict[str, Any] | None:
        """Figures of the last second, once a second; else None."""
        if self._samples < self.sample_rate:
            return None
        duration_s = self._samples / self.sample_rate
        stats = {
            "bitrate": round(self._bits / duration_s),
            "packets": self._packets,
            "lost": self._lost,
            "load": round(self._busy_s / duration_s, 3),
        }
        self._begin()
        return stats
