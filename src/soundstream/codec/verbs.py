"""The codec's verbs as functions, with the model that is meant: the default one, or that of a file."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from soundstream.arrays import Array
from soundstream.bitstream import Reader
from soundstream.codec.codec import Codec, check_bytes, load, load_for
from soundstream.codec.reading import Damage

P = ParamSpec("P")
R = TypeVar("R")


def decode(data: bytes, damage: list[Damage] | None = None, denoise: float = 0.0) -> tuple[Array, int]:
    """`Codec.decode` with the model that the file names."""
    check_bytes(data)
    return load_for(Reader(io.BytesIO(data)).header.model_id).decode(data, damage, denoise)


def _of_default(method: Callable[Concatenate[Codec, P], R]) -> Callable[P, R]:
    """A method of `Codec` as a function that asks the default model."""

    @wraps(method, assigned=("__name__", "__annotations__"))
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return method(load(), *args, **kwargs)

    signature = inspect.signature(method)
    call.__signature__ = signature.replace(parameters=[*signature.parameters.values()][1:])  # type: ignore[attr-defined]
    call.__qualname__ = call.__name__
    call.__doc__ = f"`Codec.{call.__name__}` with the default model.\n\n{inspect.getdoc(method)}"
    return call


encode = _of_default(Codec.encode)
to_codes = _of_default(Codec.to_codes)
from_codes = _of_default(Codec.from_codes)
encode_many = _of_default(Codec.encode_many)
to_codes_many = _of_default(Codec.to_codes_many)
open_code_encoder = _of_default(Codec.open_code_encoder)
open_code_decoder = _of_default(Codec.open_code_decoder)
open_encoder = _of_default(Codec.open_encoder)
open_decoder = _of_default(Codec.open_decoder)
