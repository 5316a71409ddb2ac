"""Weights of a model hub, by the id under which they are published there, such as `facebook/encodec_24khz`."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from soundstream.errors import InputError

HUB = "https://huggingface.co"
"""Its address; the environment variable `HF_ENDPOINT` names another one, as for the hub's own programs."""
FILES = ("model.safetensors", "pytorch_model.bin")
"""What is fetched: the first of them that a model has."""
TIMEOUT_S = 30.0
NOT_FOUND = 404
_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = (".th", ".pt", ".pth", ".bin", ".safetensors")


def is_hub_id(weights: Path) -> bool:
    """Whether it is `org/name` and neither a file that is there nor the name of one."""
    return not weights.exists() and weights.suffix not in _FILES and _ID.fullmatch(str(weights)) is not None


def fetch(model: str, folder: Path) -> Path:
    """Download the weights of a model; returns where they lie in the folder, under the name that the hub has.

    Raises:
        InputError: the hub cannot be reached, has no such file, or stopped on the way.
    """
    for name in FILES:
        if (place := _fetched(model, name, folder)) is not None:
            return place
    raise InputError(f"no file {model}, and the hub has none: {_url(model, FILES[0])} and {FILES[1]} are not there")


def _fetched(model: str, name: str, folder: Path) -> Path | None:
    """One file; None if the hub says that there is none."""
    url, place = _url(model, name), folder / name
    try:
        with urlopen(url, timeout=TIMEOUT_S) as source, place.open("wb") as file:
            shutil.copyfileobj(source, file)
            promised = source.headers.get("Content-Length")
    except HTTPError as error:
        if error.code == NOT_FOUND:
            return None
        raise InputError(f"no file {model}, and the hub gives none ({url}: {error.code} {error.reason})") from error
    except (OSError, ValueError) as error:
        advice = f"fetch {name} of {model} by other means, and give its path"
        raise InputError(f"no file {model}, and the hub cannot be reached ({error}); {advice}") from error
    if promised is not None and place.stat().st_size != int(promised):
        raise InputError(f"{url} ended after {place.stat().st_size:,} of {int(promised):,} bytes; try again")
    return place


def _url(model: str, name: str) -> str:
    return f"{os.environ.get('HF_ENDPOINT', HUB)}/{model}/resolve/main/{name}"
