"""Formats that libsndfile has no decoder for, through PyAV or the program `ffmpeg`, whichever is there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import BinaryIO

from soundstream.audio import ffmpeg
from soundstream.audio.formats import chunks, ebml
from soundstream.audio.frames import NO_SOUND, FrameSound
from soundstream.errors import AudioError
from soundstream.system.extras import extra

READABLE = "WAV, FLAC, Ogg Vorbis, Ogg Opus, MP3 or AIFF"
_MORE = "m4a, mp4, webm, mkv, wma and others"
_HELP = f"PyAV (pip install {extra('media')}) or the program ffmpeg on the path"
_MATROSKA = "Matroska or WebM"
_WAV, _BROKEN_WAV = "WAV with a codec of its own", "WAV with a header that is cut or damaged"
_PLAIN_CODECS = (0, 1, 3)
"""Encodings of WAV that need no other decoder: none said, whole numbers, floats."""
_KINDS = {
    "....ftyp": "MPEG-4 (m4a, mp4, mov)",
    "\x1aE\xdf\xa3": _MATROSKA,
    "0&\xb2u\x8ef\xcf\x11": "Windows Media (wma, wmv)",
    "\xff[\xf0\xf1\xf8\xf9]": "AAC",
    "OggS": "Ogg in which no stream of Vorbis, Opus or FLAC begins",
    "RIFF....AVI ": "AVI",
    "RIFF....WAVE": _WAV,
    "FLV": "Flash video",
    "#!AMR": "AMR",
    "wvpk": "WavPack",
    "MAC ": "Monkey's Audio",
    "TTA1": "TTA",
    "DSD ": "DSD",
    "\0\0\x01\xba": "MPEG video",
    "\x0bw": "AC-3",
    ".RMF": "RealMedia",
    "caff": "CAF with a codec of its own",
}
"""Names of formats by the first bytes, as patterns."""


@contextmanager
def open_media(file: BinaryIO, name: str, reason: str) -> Iterator[FrameSound]:
    """Open the sound of a seekable file that libsndfile cannot read.

    Args:
        reason: why it could not.
    Raises:
        AudioError: FFmpeg cannot either, or is not there; the message says what would help.
    """
    kind = _kind(file)
    what = f"{name} is {kind}" if kind else f"{name} is not audio that can be read"
    cut = kind == _MATROSKA and ebml.is_cut(file)
    opener = _opener(file)
    if opener is None and kind == _BROKEN_WAV:
        raise AudioError(f"{what} ({reason}); get a whole copy")
    if opener is None and kind:
        raise AudioError(f"{what}, which needs {_HELP}")
    if opener is None:
        raise AudioError(f"{what} ({reason}); expected {READABLE}; {_MORE} need {_HELP}; headerless sound needs --raw")
    with ExitStack() as stack:
        try:
            sound = stack.enter_context(opener)
        except AudioError as error:
            raise AudioError(f"{what} ({error}){_advice(kind, str(error))}") from error
        sound.is_cut = cut
        yield sound


def _advice(kind: str | None, reason: str) -> str:
    if kind and kind != _BROKEN_WAV and reason == NO_SOUND:
        return ""
    return "; get a whole copy" if kind else f"; expected {READABLE}, {_MORE}; headerless sound needs --raw"


def _opener(file: BinaryIO) -> AbstractContextManager[FrameSound] | None:
    try:
        from soundstream.audio import pyav
    except ModuleNotFoundError:
        program = shutil.which("ffmpeg")
        return ffmpeg.open_sound(program, file) if program else None
    file.seek(0)
    return pyav.open_sound(file)


def _kind(file: BinaryIO) -> str | None:
    file.seek(0)
    head = file.read(16).decode("latin-1")
    kind = next((name for pattern, name in _KINDS.items() if re.match(pattern, head, re.DOTALL)), None)
    return _BROKEN_WAV if kind == _WAV and chunks.wav_codec(file) in _PLAIN_CODECS else kind
