"""Models by name, folder or id, and the codec's verbs with the model that is meant."""

from __future__ import annotations

import copyreg
import inspect
import io
import threading
from collections.abc import Callable
from functools import lru_cache, wraps
from os import PathLike
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from soundstream.bitstream import Reader
from soundstream.codec.base import Array
from soundstream.codec.codec import Codec, check_bytes
from soundstream.codec.reading import Damage
from soundstream.errors import ArtifactError, ModelMismatch
from soundstream.runtime.artifact import find, id_of, load_artifact, shipped
from soundstream.runtime.models import VARIABLE, describe, find_by_id, model_folders

P = ParamSpec("P")
R = TypeVar("R")

_LOCK = threading.Lock()


def load(name_or_path: str | PathLike[str] = "default", threads: int = 1, postfilter: bool = True) -> Codec:
    """Load a codec: one that ships with the package by name, or any artifact folder by path.

    A model is loaded once per process and settings, in whatever way it is asked for; the last four stay.

    Args:
        threads: CPU threads of the networks.
        postfilter: what is decoded passes the pitch post-filter; False gives the network's own sound.
    Raises:
        ArtifactError: the model is missing or damaged.
    """
    folder = find(name_or_path).resolve()
    with _LOCK:
        return _load(folder, id_of(folder), threads, postfilter)


@lru_cache(maxsize=4)
def _load(folder: Path, model_id: bytes, threads: int, postfilter: bool) -> Codec:
    return Codec(load_artifact(folder), threads, postfilter)


def load_for(model_id: bytes, threads: int = 1, postfilter: bool = True) -> Codec:
    """Load the model that a file names: a shipped one, or one in a folder that SOUNDSTREAM_MODELS names.

    Args:
        threads, postfilter: as `load`.
    Raises:
        ModelMismatch: no known folder holds it.
        ArtifactError: the model is damaged.
    """
    folder = find_by_id(model_id, model_folders())
    if folder is None:
        raise ModelMismatch(
            f"the file was made by {describe(model_id)}, which is not among the shipped ones "
            f"({', '.join(shipped())}); give its folder with --model or in {VARIABLE}"
        )
    return load(folder, threads, postfilter)


def _reload(folder: Path, model_id: bytes, threads: int, postfilter: bool) -> Codec:
    """The codec of this id, from its folder if it is still there, or from where files find their model."""
    try:
        if id_of(folder) == model_id:
            return load(folder, threads, postfilter)
    except ArtifactError:
        pass
    return load_for(model_id, threads, postfilter)


copyreg.pickle(Codec, lambda codec: (_reload, (codec.folder, codec.model_id, codec.threads, codec.postfilter)))
"""A codec is pickled and copied by the id of its model: another process loads it from the same place."""


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
