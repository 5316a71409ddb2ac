"""Other codecs behind the two methods of ours.

`encode(pcm, sample_rate) -> bytes` and `decode(bytes) -> (pcm, sample_rate)`.
Evaluation is mono: pcm is float32 `[1, samples]` in [-1, 1].
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from soundstream import audio
from soundstream.arrays import Array
from soundstream.errors import CodecError, ConfigError


class Baseline(Protocol):
    """Anything that can be put beside our codec."""

    def encode(self, pcm: Array, sample_rate: int) -> bytes:
        """Compress pcm `[1, samples]` to what would be stored, container included."""

    def decode(self, data: bytes) -> tuple[Array, int]:
        """Audio `[1, samples]`, delayed as the codec delays it, and its sample rate in Hz."""


@dataclass(frozen=True)
class LowPass:
    """An anchor: everything above `cutoff` removed and nothing else done. It has no bit rate.

    Source: the anchors of ITU-R BS.1534, linear phase, with a transition band of a seventh of the cutoff.
    """

    cutoff: int
    """Hz."""

    def encode(self, pcm: Array, sample_rate: int) -> bytes:
        """The filtered audio as 16-bit WAV."""
        spectrum = np.fft.rfft(pcm)
        frequencies = np.fft.rfftfreq(pcm.shape[1], 1 / sample_rate)
        slope = np.clip((frequencies / self.cutoff - 1) * 7, 0, 1)
        filtered = np.fft.irfft(spectrum * np.cos(np.pi / 2 * slope) ** 2, pcm.shape[1])
        return to_wav(filtered.astype(np.float32), sample_rate)

    def decode(self, data: bytes) -> tuple[Array, int]:
        """The same audio."""
        return audio.read(io.BytesIO(data))


class Original:
    """No codec at all: the score of a perfect copy, and of the original where a metric needs none."""

    def encode(self, pcm: Array, sample_rate: int) -> bytes:
        """The audio as 16-bit WAV."""
        return to_wav(pcm, sample_rate)

    def decode(self, data: bytes) -> tuple[Array, int]:
        """The same audio."""
        return audio.read(io.BytesIO(data))


@dataclass(frozen=True)
class Shell:
    """An external codec, run as a pair of shell commands.

    Both commands name `{in}` and `{out}`; the coded file may carry a suffix, `{out}.lyra` and then `{in}.lyra`. The
    audio is 16-bit WAV. `{bitrate}` is replaced by the bit rate asked for.
    """

    encode_command: str
    decode_command: str
    bitrate: int

    def encode(self, pcm: Array, sample_rate: int) -> bytes:
        """What the encode command wrote."""
        with tempfile.TemporaryDirectory() as folder:
            source, coded = Path(folder, "in.wav"), Path(folder, "coded")
            source.write_bytes(to_wav(pcm, sample_rate))
            self._run(self.encode_command, source, coded)
            return _written(coded, self.encode_command)

    def decode(self, data: bytes) -> tuple[Array, int]:
        """What the decode command wrote; several channels are averaged."""
        with tempfile.TemporaryDirectory() as folder:
            suffix = re.search(r"\{in\}(\.\w+)?", self.decode_command)
            coded, output = Path(folder, "coded"), Path(folder, "out.wav")
            coded.with_suffix((suffix and suffix[1]) or "").write_bytes(data)
            self._run(self.decode_command, coded, output)
            pcm, sample_rate = audio.read(output)
        return pcm.mean(0, keepdims=True), sample_rate

    def _run(self, command: str, source: Path, output: Path) -> None:
        for name, value in {"in": source, "out": output, "bitrate": self.bitrate}.items():
            command = command.replace(f"{{{name}}}", shlex.quote(str(value)))
        result = subprocess.run(command, shell=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise CodecError(f"the command {command!r} ended with code {result.returncode}: {reason}")


def check_shell(shell: tuple[str, str, str]) -> None:
    """Refuse an external codec whose commands do not say where its files go.

    Raises:
        ConfigError: the name is odd, or `{in}` or `{out}` is missing.
    """
    name, *commands = shell
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ConfigError(f"--shell name {name!r}; expected letters, digits, '_', '.' and '-'")
    for command in commands:
        if "{in}" not in command or "{out}" not in command:
            raise ConfigError(f"--shell command {command!r} does not name both {{in}} and {{out}}")


def to_wav(pcm: Array, sample_rate: int) -> bytes:
    """Pcm `[channels, samples]` as the bytes of a 16-bit WAV file."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(pcm.T, -1, 1), sample_rate, "PCM_16", format="WAV")
    return file.getvalue()


def _written(coded: Path, command: str) -> bytes:
    files = [*coded.parent.glob("coded*")]
    if len(files) != 1:
        raise CodecError(f"the command {command!r} wrote {len(files)} files named {{out}}; expected one")
    return files[0].read_bytes()
