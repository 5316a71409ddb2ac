"""libsndfile: what it needs to be told, and what it says."""

from __future__ import annotations

import soundfile


class SequentialFile(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that soundfile reads without seeking after each block.

    Such a seek resets the Opus decoder, which is heard, and fails in FLAC files of unknown length.
    """

    def seekable(self) -> bool:
        return False


def reason(error: Exception) -> str:
    """What libsndfile says went wrong, without its frills."""
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".")
