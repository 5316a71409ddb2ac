"""Tokens of a folder: by number, in pieces, one after another, and as sound."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.codec.codec import Codec, load, load_for
from soundstream.errors import InputError, ModelMismatch
from soundstream.spec import CodecSpec
from soundstream.system.files import FilePath
from soundstream.tokens.layout import FAILED, INDEX, SETTINGS, Header, failures_from_json, shard_name
from soundstream.tokens.sources import Failure
from soundstream.tokens.storage import Bytes, storage

_OPEN_SHARDS = 256


@dataclass(frozen=True, eq=False)
class TokenizedSound:
    """Codes of a sound, and what is known of it."""

    codes: Codes
    """As `Codec.to_codes` gives them: `[num_quantizers, frames]` of one stream, else `[streams, ...]`; int64."""
    source: str
    """Path or URL; bytes of a name that are no UTF-8 are written as such as `\\xe9`."""
    start_s: float
    """Place in the source."""
    duration_s: float
    sample_rate: int
    """Hz of the source."""
    num_samples: int
    """Per channel, at that rate."""
    channels: int
    tags: dict[str, str]
    """Of the file, and of the manifest."""
    warnings: str
    """What was wrong with the file, though it was taken; empty if nothing."""


class Tokens(Sequence[TokenizedSound]):
    """Opened tokens: `tokens[i]`, `len(tokens)`, iteration; made by `open_tokens`. It can be pickled and forked.

    Args:
        place: folder, or URL.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._storage = storage(place)
        names = self._storage.names()
        if SETTINGS not in names:
            raise InputError(f"{place} holds no tokens; soundstream tokenize makes them")
        self.header = Header.from_json(self._storage.read(SETTINGS))
        if INDEX not in names:
            raise InputError(f"{place} is not complete; start soundstream tokenize again, which goes on")
        self.rows = np.load(io.BytesIO(self._storage.read(INDEX)))
        """Rows of `layout.ROW`, one for each stream."""
        self._first = np.flatnonzero(self.rows["stream"] == 0)
        self._view = lru_cache(_OPEN_SHARDS)(self._storage.view)

    def __reduce__(self) -> tuple[type[Tokens], tuple[str]]:
        return Tokens, (self.place,)

    @property
    def spec(self) -> CodecSpec:
        """`CodecSpec` of the model."""
        return self.header.spec

    @property
    def num_quantizers(self) -> int:
        """Codebooks of all sounds."""
        return self.header.settings.num_quantizers

    @property
    def duration_s(self) -> float:
        """Seconds of all sounds together."""
        rows = self.rows[self._first]
        return float((rows["num_samples"] / np.maximum(1, rows["sample_rate"])).sum())

    @property
    def failed(self) -> list[Failure]:
        """Sources without tokens, and why."""
        return failures_from_json(self._storage.read(FAILED))

    def __len__(self) -> int:
        return len(self._first)

    def __iter__(self) -> Iterator[TokenizedSound]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, i: int) -> TokenizedSound: ...

    @overload
    def __getitem__(self, i: slice) -> list[TokenizedSound]: ...

    def __getitem__(self, i: int | slice) -> TokenizedSound | list[TokenizedSound]:
        if isinstance(i, slice):
            return [self[one] for one in range(*i.indices(len(self)))]
        row = self._row(i)
        facts = self._facts(row)
        return TokenizedSound(
            self.codes(i),
            facts["source"],
            facts["start"],
            facts["seconds"],
            facts["sample_rate"],
            facts["num_samples"],
            facts["channels"],
            json.loads(facts["tags"]),
            facts["warnings"],
        )

    def codes(self, i: int, start: int = 0, frames: int | None = None) -> Codes:
        """Codes of a sound, or of some of its frames, in the form that `Codec.to_codes` has; side numbers with them.

        Raises:
            IndexError: there is no such sound.
        """
        first = self._row(i)
        rows = self.rows[first : first + int(self.rows["streams"][first])]
        parts = [self.stream_codes(row, start, frames) for row in rows]
        return parts[0] if len(parts) == 1 else np.stack(parts)

    def stream_codes(self, row: Any, start: int = 0, frames: int | None = None) -> Codes:
        """Codes `[num_quantizers, frames]` of a row of the index, or of some of its frames."""
        stop = None if frames is None else start + frames
        codes = self._array(row, "codes", self.num_quantizers, self.header.dtype)[:, start:stop].astype(np.int64)
        if not self.spec.side_numbers:
            return codes
        bits = self._array(row, "side", self.spec.side_numbers, np.dtype("<u4"))[:, start:stop].astype(np.int64)
        return np.concatenate([codes, bits])

    def to_pcm(self, i: int, sample_rate: int | None = None, codec: Codec | None = None) -> tuple[Array, int]:
        """Sound `[channels, samples]` of tokens and its rate, with the length of the original.

        Args:
            sample_rate: Hz; None is that of the source.
            codec: with the model of the tokens; None finds it where files find theirs.
        Raises:
            ModelMismatch: the model is not there, or the codec has another one.
        """
        codec, sound = codec or self.codec(), self[i]
        if codec.model_id.hex() != self.header.settings.model:
            raise ModelMismatch(f"the tokens are of {self.header.settings.model}, loaded is {codec.model_id.hex()}")
        rate = sample_rate or sound.sample_rate
        samples = round(sound.num_samples * rate / sound.sample_rate)
        return codec.from_codes(sound.codes, rate, samples, sound.channels), rate

    def codec(self, model: FilePath | None = None) -> Codec:
        """The codec of the tokens.

        Args:
            model: its folder; None finds it where files find theirs.
        Raises:
            ModelMismatch: it is not there.
        """
        return load(model) if model else load_for(bytes.fromhex(self.header.settings.model))

    def _row(self, i: int) -> int:
        """Number of a sound's first row."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"sound {i} of {len(self)}")
        return int(self._first[i])

    def _facts(self, number: int) -> dict[str, Any]:
        row = self.rows[number]
        start = int(row["facts"])
        return json.loads(bytes(self._shard(row)[start : start + int(row["facts_bytes"])]))

    def _array(self, row: Any, name: str, count: int, dtype: np.dtype) -> np.ndarray:
        start, frames = int(row[name]), int(row["frames"])
        data = self._shard(row)[start : start + count * frames * dtype.itemsize]
        return np.frombuffer(data, dtype).reshape(count, frames)

    def _shard(self, row: Any) -> Bytes:
        return self._view(shard_name(int(row["shard"])))


def open_tokens(place: FilePath) -> Tokens:
    """Open what `tokenize` wrote.

    Args:
        place: a folder, or the URL of one.
    Raises:
        InputError: there are no tokens, or they are not complete.
        ConfigError: they are damaged, or of a later format.
    """
    return Tokens(str(place))
