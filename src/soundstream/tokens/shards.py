"""Shards: tar files as WebDataset has them, with an array of codes and a JSON object for each stream of a sound.

    000000012_0.codes.npy    int16 [num_quantizers, frames]
    000000012_0.side.npy     float32 [side_numbers, frames], of codecs that have numbers beside their codes
    000000012_0.json         source, times, rate, tags

Nothing in them tells when or where they were made: the same sound gives the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from soundstream.arrays import Array
from soundstream.tokens.layout import ROW, Header

_BLOCK = 512
"""Bytes of a member's header: names are so short that one block holds it."""


class ShardWriter:
    """Writes a shard without seeking, and keeps its part of the index.

    Args:
        header: what a shard tells of all its tokens, in the global header of the tar, which programs pass over.
    """

    def __init__(self, stream: BinaryIO, header: Header, number: int) -> None:
        settings = {"SOUNDSTREAM.tokens": json.dumps(json.loads(header.to_json()))}
        self._tar = tarfile.TarFile(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, pax_headers=settings)
        self._number, self._dtype = number, header.dtype
        self._rows: list[tuple[int, ...]] = []

    def add(self, sound: int, streams: np.ndarray, side: Array, facts: Mapping[str, Any]) -> None:
        """Add a sound.

        Args:
            sound: its number in the plan.
            streams: codes `[streams, num_quantizers, frames]`.
            side: numbers beside them `[streams, side_numbers, frames]`.
            facts: what its JSON says; `num_samples` and `sample_rate` are among it.
        """
        for i, codes in enumerate(streams):
            key, told = f"{sound:09}_{i}", json.dumps({**facts, "stream": i, "streams": len(streams)}).encode()
            codes_at = self._array(f"{key}.codes.npy", codes.astype(self._dtype))
            side_at = self._array(f"{key}.side.npy", side[i]) if side.shape[1] else 0
            facts_at = self._member(f"{key}.json", told)
            samples, rate = facts["num_samples"], facts["sample_rate"]
            places = codes_at, side_at, facts_at
            row = sound, self._number, i, len(streams), codes.shape[1], samples, rate, len(told), *places
            self._rows.append(row)

    def close(self) -> np.ndarray:
        """End the tar; rows of the index."""
        self._tar.close()
        return np.array(self._rows, ROW)

    def _array(self, name: str, array: np.ndarray) -> int:
        """Add an array; the place of its first number."""
        file = io.BytesIO()
        np.save(file, np.ascontiguousarray(array))
        return self._member(name, file.getvalue()) + file.tell() - array.nbytes

    def _member(self, name: str, data: bytes) -> int:
        """Add a member; the place of its data."""
        place = self._tar.offset + _BLOCK
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))
        return place
