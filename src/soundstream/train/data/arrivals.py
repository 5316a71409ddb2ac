"""Audio files that come into the data folders while a run trains."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from soundstream.errors import CodecError
from soundstream.train.data.corpus import Corpus, extended, scan

LOOK_EVERY_S = 5.0
"""Time from one look into the folders to the next."""


class Arrivals:
    """Looks into the data folders now and then, on a thread of its own, and decodes what is new.

    A file is taken up once it has stayed as it is from one look to the next: it may be on its way still. Use it as a
    context manager; without, someone has to call `look`.

    Args:
        corpus: what was decoded when the run began; files that have come since then are new.
        folders: as for `load_corpus`.
        cache: as for `load_corpus`; replaced by one that has the new files too.
    """

    def __init__(
        self, corpus: Corpus, folders: Sequence[str], cache: Path | None = None, every_s: float = LOOK_EVERY_S
    ) -> None:
        self.corpus, self.folders, self.cache, self.every_s = corpus, folders, cache, every_s
        self._seen = scan(folders).listing()
        known = {clip.path for clip in corpus.clips} | corpus.refused.keys()
        self._taken = {name: stamp for name, stamp in self._seen.items() if name in known}
        self._found: Corpus | None = None
        self._problem: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="arrivals", daemon=True)

    def __enter__(self) -> Arrivals:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def take(self) -> Corpus | None:
        """The corpus with new files, if there have been any since the last time.

        Raises:
            CodecError: the folders cannot be read any more; they are looked at again all the same.
        """
        found, self._found, problem, self._problem = self._found, None, self._problem, None
        if problem:
            raise CodecError(f"looking for new data: {problem}")
        return found

    def look(self) -> None:
        """Look into the folders once."""
        found = scan(self.folders)
        listing, seen = found.listing(), self._seen
        settled = {name for name, stamp in listing.items() if seen.get(name) == stamp}
        fresh = {name for name in settled if self._taken.get(name) != listing[name]}
        self._seen = listing
        if fresh:
            whole = found.only(settled | (self._taken.keys() & listing.keys()))
            self.corpus = self._found = extended(self.corpus, whole, fresh, self.cache, (os.cpu_count() or 1) - 2)
            self._taken = {name: listing[name] for name in whole.files}

    def _watch(self) -> None:
        while not self._stop.wait(self.every_s):
            try:
                self.look()
            except (CodecError, OSError) as error:
                self._problem = str(error)
