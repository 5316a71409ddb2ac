"""The models that a server offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soundstream.codec import Codec, load
from soundstream.errors import ConfigError
from soundstream.runtime.artifact import DEFAULT, shipped


class Models:
    """The shipped models and the one that the server was started with, loaded at once.

    Args:
        first: name or folder of the model that the page begins with.
    Raises:
        ArtifactError: a model is missing or damaged.
    """

    def __init__(self, first: str = "default") -> None:
        first = DEFAULT if first == "default" else first
        self._first = first if first in shipped() else Path(first).name
        self._codecs = {self._first: load(first)} | {name: load(name) for name in shipped() if name != self._first}

    @classmethod
    def only(cls, name: str) -> Models:
        """One model alone.

        Raises:
            ArtifactError: it is missing or damaged.
        """
        models = cls.__new__(cls)
        models._first = DEFAULT if name == "default" else Path(name).name
        models._codecs = {models._first: load(name)}
        return models

    def folders(self) -> dict[str, Path]:
        """The folder of each model by its name on the page."""
        return {name: codec.folder for name, codec in self._codecs.items()}

    def get(self, name: str) -> Codec:
        """A model by its name on the page.

        Raises:
            ConfigError: it is not offered.
        """
        if name not in self._codecs:
            raise ConfigError(f"model {name[:60]!r} is not offered here; choose one of: {', '.join(self._codecs)}")
        return self._codecs[name]

    def facts(self) -> list[dict[str, Any]]:
        """What the page is told of each model, the first one first."""
        return [_facts(name, codec) for name, codec in self._codecs.items()]


def _facts(name: str, codec: Codec) -> dict[str, Any]:
    spec = codec.spec
    return {
        "name": name,
        "id": codec.model_id.hex(),
        "sample_rate": spec.sample_rate,
        "bitrate_step": spec.bitrate(1),
        "max_bitrate": spec.bitrate(spec.num_quantizers),
        "latency_ms": spec.latency_ms,
        "denoise": spec.has_denoise("encoder"),
    }
