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
FILE = "model.safetensors"
TIMEOUT_S = 30.0
_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = (".th", ".pt", ".pth", ".bin", ".safetensors")


def is_hub_id(weights: Path) -> bool:
    """Whether it is `org/name` and neither a file that is there nor the name of one."""
    return not weights.exists() and weights.suffix not in _FILES and _ID.fullmatch(str(weights)) is not None


def fetch(model: str, folder: Path) -> Path:
    """Download the safetensors file of a model; returns where it lies in the folder.

    Raises:
        InputError: the hub cannot be reached, has no such file, or stopped on the way.
    """
    url, place = f"{os.environ.get('HF_ENDPOINT', HUB)}/{model}/resolve/main/{FILE}", folder / FILE
    advice = f"fetch {FILE} of {model} by other means, and give its path"
    try:
        with urlopen(url, timeout=TIMEOUT_S) as source, place.open("wb") as file:
            shutil.copyfileobj(source, file)
            promised = source.headers.get("Content-Length")
    except HTTPError as error:
        raise InputError(f"no file {model}, and the hub has none ({url}: {error.code} {error.reason})") from error
    except (OSError, ValueError) as error:
        raise InputError(f"no file {model}, and the hub cannot be reached ({error}); {advice}") from error
    if promised is not None and place.stat().st_size != int(promised):
        raise InputError(f"{url} ended after {place.stat().st_size:,} of {int(promised):,} bytes; try again")
    return place
