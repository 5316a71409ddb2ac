"""A MUSHRA-like listening test as one static page: open it in a browser, send back the JSON that it saves.

Source: ITU-R BS.1534. Differs: one low-pass anchor at 3.5 kHz, no training phase, and levels are left as they are.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile

from soundstream.arrays import Array
from soundstream.system.files import atomic_output

ANCHOR = "lowpass:3500"
REFERENCE = "original"
_MARK = "/*ITEMS*/[]"


@dataclass(frozen=True)
class Item:
    """One clip to be rated in all its versions."""

    name: str
    sample_rate: int
    """Hz."""
    reference: Array
    """The original, `[samples]`: shown as the reference and hidden among the versions."""
    versions: Mapping[str, Array]
    """Decoded audio `[samples]` by codec, the anchor included."""


def write_page(path: Path, items: list[Item]) -> None:
    """Write the page with all audio inside; it needs no server and no other file."""
    template = resources.files("soundstream.evaluate").joinpath("listening.html").read_text(encoding="utf-8")
    assert _MARK in template
    data = json.dumps([_plain(item) for item in items]).replace("</", "<\\/")
    with atomic_output(path, force=True) as file:
        file.write(template.replace(_MARK, data).encode())


def _plain(item: Item) -> dict[str, object]:
    versions = {REFERENCE: item.reference, **item.versions}
    return {
        "name": item.name,
        "stimuli": [{"codec": codec, "audio": _flac(pcm, item.sample_rate)} for codec, pcm in versions.items()],
    }


def _flac(pcm: Array, sample_rate: int) -> str:
    file = io.BytesIO()
    soundfile.write(file, np.clip(pcm, -1, 1), sample_rate, "PCM_16", format="FLAC")
    return base64.b64encode(file.getvalue()).decode()
