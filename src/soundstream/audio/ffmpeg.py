"""FFmpeg's decoders through the program `ffmpeg`, which writes WAV into a pipe."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from soundstream.audio.formats.views import Gap
from soundstream.audio.frames import CONTAINERS, NO_SOUND, FrameSound
from soundstream.audio.metadata import chosen_tags
from soundstream.audio.sndfile import SequentialFile
from soundstream.errors import AudioError
from soundstream.system.files import keeping

_OPTIONS = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", "-format_whitelist", CONTAINERS)
_OUTPUT = ("-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1")


@contextmanager
def open_sound(program: str, file: BinaryIO) -> Iterator[FrameSound]:
    """Open the first audio stream of a seekable file.

    Args:
        program: path of `ffmpeg`.
    Raises:
        AudioError: there is none; the message is only the reason.
    """
    with _on_disk(file) as path, tempfile.TemporaryFile() as log:
        command = [program, *_OPTIONS, "-i", f"file:{path}", *_OUTPUT]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL) as process:
            try:
                assert process.stdout
                with _open_wav(process, log) as sound:
                    gaps = list[Gap]()
                    frames = _frames(sound, process, log, gaps)
                    lines = _lines(log)
                    found = FrameSound(sound.samplerate, sound.channels, frames, _duration_s(lines), gaps)
                    found.tags = _tags(lines)
                    yield found
            finally:
                process.kill()


def _open_wav(process: subprocess.Popen[bytes], log: BinaryIO) -> SequentialFile:
    assert process.stdout
    try:
        return SequentialFile(process.stdout.fileno(), closefd=False)
    except soundfile.SoundFileError as error:
        process.wait()
        raise AudioError(next(iter(_errors(_lines(log))), NO_SOUND)) from error


def _frames(
    sound: SequentialFile, process: subprocess.Popen[bytes], log: BinaryIO, gaps: list[Gap]
) -> Iterator[np.ndarray]:
    """The sound as it comes; what `ffmpeg` complains of is noted at the end, where nothing says the place."""
    samples = 0
    for block in sound.blocks_of(sound.samplerate, None):
        samples += block.shape[1]
        yield block
    failed, errors = process.wait(), _errors(_lines(log))
    if errors or failed:
        said = "; ".join(errors[:1]) or f"exit code {failed}"
        gaps.append(Gap(f"ffmpeg says: {said}", samples / sound.samplerate))


def _lines(log: BinaryIO) -> list[str]:
    log.seek(0)
    return log.read().decode(errors="replace").splitlines()


def _errors(lines: list[str]) -> list[str]:
    """What went wrong, without the path, which the reader names."""
    found = (re.search(r"\[(?:error|fatal)\] (?:file:.+: (?=[A-Z]))?(.*)", line) for line in lines)
    return [_plain(match[1]) for match in found if match]


def _plain(error: str) -> str:
    if "matches no streams" in error:
        return NO_SOUND
    return re.sub(" on whitelist .*", " among those that are opened", error)


def _duration_s(lines: list[str]) -> float | None:
    """What the container says; not what FFmpeg guesses of the number of bytes, which it warns of."""
    text = "\n".join(lines)
    said = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", text)
    if not said or "may be inaccurate" in text:
        return None
    return 3600 * int(said[1]) + 60 * int(said[2]) + float(said[3])


def _tags(lines: list[str]) -> dict[str, str]:
    """What stands below `Metadata` of the input."""
    text = "\n".join(lines).partition("Input #0")[2].partition("Output #0")[0]
    return chosen_tags(dict(re.findall(r"^(?:\[info\])? {4,8}([\w-]+) *: (.*)$", text, re.MULTILINE)[::-1]))


@contextmanager
def _on_disk(file: BinaryIO) -> Iterator[str]:
    """A path of the file; of a copy if it has none."""
    name = getattr(file, "name", None)
    if isinstance(name, str) and os.path.samestat(Path(name).stat(), os.fstat(file.fileno())):
        yield str(Path(name).absolute())
        return
    with keeping("a copy for ffmpeg"), tempfile.NamedTemporaryFile() as copy:
        file.seek(0)
        shutil.copyfileobj(file, copy)
        copy.flush()
        yield copy.name
