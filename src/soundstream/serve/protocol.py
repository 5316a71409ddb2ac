"""What the page and the server say to each other.

HTTP
    GET  /about             JSON: version, models, limits, names of examples
    GET  /examples/NAME     an example clip as a file
    POST /clips             body: an audio file of any kind that `soundstream.audio` reads
                            answer: {"clip", "sample_rate", "channels", "samples", "whole_s", "incomplete"}
    GET  /clips/CLIP        the clip's samples as pcm (see below)

WebSocket /session: codes clips. The client sends JSON texts:
    {"type": "code", "request": 1, "clip": CLIP, "model": "base", "bitrate": 6000, "denoise": 0.0, "loss": 0.1}
        bitrate: bit/s of a channel; denoise: 0 to 1; loss: share of live packets that is lost, 0 to 0.5
    A new request takes the place of one under way. Answers bear the number of their request:
    {"type": "progress", "request": 1, "share": 0.4}
    {"type": "coded", "request": 1, ...}    figures (see `jobs.Coded`), then at once one binary message:
        the .nac file, `file_bytes` long, and after it the decoded pcm
    {"type": "error", "request": 1, "name": "ConfigError", "message": "a sentence for the reader"}

WebSocket /live: codes what is spoken into it. The client sends first
    {"type": "open", "sample_rate": 48000, "model": "base", "bitrate": 6000, "denoise": 0.0, "loss": 0.1}
    then binary messages of pcm of one channel, each of at most one second, and at any time
    {"type": "set", "bitrate": 3000, "denoise": 1.0, "loss": 0.0}
    The server answers each binary message with one of decoded pcm, often of another length, and now and then with
    {"type": "stats", "bitrate": 5800, "packets": 75, "lost": 0, "load": 0.2}
        bit/s of the packets sent, packets and losses since the last such message, share of time spent on coding

pcm is float32, little-endian, channel after channel. HTTP errors have the same JSON as those of a WebSocket.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from soundstream.audio import check_finite, check_format
from soundstream.errors import CodecError, ConfigError

MAX_LOSS = 0.5

T = TypeVar("T", bound="Message")


@dataclass(frozen=True)
class Message:
    """A message from the page; its fields are the keys of the JSON, besides its type.

    Raises:
        ConfigError: a value is of another type or out of range.
    """

    @classmethod
    def of(cls: type[T], data: dict[str, Any]) -> T:
        """The message that a JSON object holds.

        Raises:
            ConfigError: a key is missing or unknown, or as above.
        """
        names = {field.name for field in fields(cls)}
        if data.keys() != names:
            raise ConfigError(f"the message has the keys {_listed(data)}; expected {_listed(names)}")
        return cls(**data)


@dataclass(frozen=True)
class CodeRequest(Message):
    """Code a clip."""

    request: int
    clip: str
    model: str
    bitrate: int
    denoise: float
    loss: float

    def __post_init__(self) -> None:
        _check_whole("request", self.request, 0, 2**53)
        _check_text("clip", self.clip)
        _check_text("model", self.model)
        _check_settings(self.bitrate, self.denoise, self.loss)


@dataclass(frozen=True)
class LiveOpen(Message):
    """Begin to code live."""

    sample_rate: int
    model: str
    bitrate: int
    denoise: float
    loss: float

    def __post_init__(self) -> None:
        _check_whole("sample_rate", self.sample_rate, 0, 2**31)
        check_format(self.sample_rate, 1)
        _check_text("model", self.model)
        _check_settings(self.bitrate, self.denoise, self.loss)


@dataclass(frozen=True)
class LiveSet(Message):
    """Go on with other settings."""

    bitrate: int
    denoise: float
    loss: float

    def __post_init__(self) -> None:
        _check_settings(self.bitrate, self.denoise, self.loss)


def parse(text: str | None) -> tuple[str, dict[str, Any]]:
    """Type and values of a JSON message.

    Raises:
        ConfigError: it is no text, no JSON, or no object with a type.
    """
    if text is None:
        raise ConfigError("got a binary message; expected JSON text")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError("the message is no JSON") from error
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise ConfigError('the message is no JSON object with a "type"')
    return data.pop("type"), data


def pcm_of(data: bytes, max_samples: int) -> NDArray[np.float32]:
    """The samples `[1, samples]` of a binary message.

    Raises:
        ConfigError: its length is not that of whole samples, or above the limit.
        AudioError: a value is not finite.
    """
    if len(data) % 4 or len(data) > 4 * max_samples:
        raise ConfigError(f"got {len(data)} bytes of pcm; expected a multiple of 4, at most {4 * max_samples}")
    pcm = np.frombuffer(data, "<f4").astype(np.float32)[None]
    check_finite(pcm)
    return pcm


def pcm_bytes(pcm: NDArray[np.float32]) -> bytes:
    """Pcm `[channels, samples]` as it is sent."""
    return pcm.astype("<f4", copy=False).tobytes()


def error_message(error: CodecError, request: int | None = None) -> dict[str, Any]:
    """What a client is told of an error."""
    return {"type": "error", "request": request, "name": type(error).__name__, "message": str(error)}


def _check_settings(bitrate: object, denoise: object, loss: object) -> None:
    _check_whole("bitrate", bitrate, 0, 2**31)
    _check_number("denoise", denoise, 0, 1)
    _check_number("loss", loss, 0, MAX_LOSS)


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ConfigError(f"{name} is {_shown(value)}; expected a whole number from {low} to {high}")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        raise ConfigError(f"{name} is {_shown(value)}; expected a number from {low} to {high}")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {_shown(value)}; expected a text")


def _listed(names: Any) -> str:
    return ", ".join(map(_shown, sorted(names))) or "none"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
