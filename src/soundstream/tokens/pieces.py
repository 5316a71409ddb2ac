"""Sound of files and of pieces of them, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

from soundstream.arrays import Array
from soundstream.audio.read import AudioReader, open_reader
from soundstream.errors import AudioError
from soundstream.tokens.sources import Source
from soundstream.tokens.storage import filesystem, is_url


class Pieces:
    """Reads sources in constant memory; pieces of one file that come in the order of their times need one pass.

    Used as `with Pieces() as pieces`, which closes the file that was read last.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._path = ""

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, *told: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next piece opens its own anew."""
        self._stack.close()
        self._path = ""

    def open(self, source: Source) -> AudioReader:
        """The file of a source: rate, channels and tags.

        Raises:
            AudioError: as `open_reader`.
        """
        if source.path != self._path or self._place > round(source.start_s * self._reader.sample_rate):
            self.close()
            self._reader = self._stack.enter_context(open_reader(_opened(source.path, self._stack)))
            self.tags = self._reader.tags
            self._blocks, self._rest, self._place = iter(self._reader), None, 0
            self._path = source.path
        return self._reader

    _reader: AudioReader
    tags: dict[str, str]
    """Of the open file."""
    _blocks: Iterator[Array]
    _rest: Array | None
    """The end of a block that was not taken."""
    _place: int
    """Samples before the next one, which is the first of the rest or of the next block."""

    def read(self, source: Source) -> Iterator[Array]:
        """Pcm `[channels, samples]` of the source that was opened, block by block.

        Raises:
            AudioError: as the blocks of `AudioReader`, or the piece begins behind the end of the file.
        """
        rate = self._reader.sample_rate
        start, stop = round(source.start_s * rate), None if source.end_s is None else round(source.end_s * rate)
        while stop is None or self._place < stop:
            block = self._next()
            if block is None:
                if start and self._place <= start:
                    raise AudioError(f"starts at {source.start_s:g} s; the file ends at {self._place / rate:g} s")
                return
            end = block.shape[1] if stop is None else min(block.shape[1], stop - self._place)
            begin = max(0, start - self._place)
            self._rest = block[:, end:] if end < block.shape[1] else None
            self._place += end
            if begin < end:
                yield block[:, begin:end]

    def _next(self) -> Array | None:
        block, self._rest = self._rest, None
        return next(self._blocks, None) if block is None else block


def _opened(path: str, stack: ExitStack) -> str | BinaryIO:
    if not is_url(path):
        return path
    files, place = filesystem(path)
    return stack.enter_context(files.open(place, "rb"))
