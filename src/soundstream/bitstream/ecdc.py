"""`.ecdc`, the files of EnCodec's own program: bytes to codes and back.

    offset  bytes   field           value
    0       4       magic           ECDC
    4       1       version         0
    5       4       header length   n, most significant byte first
    9       n       header          JSON: m model, al samples, nc codebooks, lm whether a language model coded them
    9 + n           segments        of the 24 kHz model one, of all samples; of the 48 kHz model those of a second that
                                    begin every 47,520 samples, each with its gain before its codes
                    gain            float32, most significant byte first
                    codes           frame by frame, in a frame codebook by codebook, 10 bits each, the least significant
                                    bit first into each byte; the last byte of a segment is filled up with zeros

Such a file has no checksum: its length can be checked, and that the bits which fill a segment's last byte are zero.
Codes that a language model coded are the bits of an arithmetic coder, `ecdc_arithmetic.py`; such files are read only
with that model, and never written.

Source: facebookresearch/encodec, `encodec/binary.py` and `compress.py`. Frames are counted in whole numbers, where that
program's reader counts in floats and so refuses some of its own files.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from soundstream.bitstream.ecdc_arithmetic import ArithmeticDecoder
from soundstream.errors import BadMagic, InvalidField, Truncated, UnsupportedVersion

MAGIC = b"ECDC"
HOP = 320
_BITS = 10
ENTRIES = 1 << _BITS
_LEAST_BITS = 2.0**-13
"""A code of the language model has more: 2^24 of which 2 are left to each of the other entries are 1.8e-4 bits."""
_PREFIX = struct.Struct(">4sBI")
_GAIN = struct.Struct(">f")
_MAX_HEADER = 4096
_MAX_SAMPLES = 2**40


@dataclass(frozen=True)
class Kind:
    """One of the two models that files are of."""

    name: str
    """As the header has it."""
    sample_rate: int
    channels: int
    max_codebooks: int
    segment: int = _MAX_SAMPLES
    """Samples of a segment."""
    step: int = _MAX_SAMPLES
    """Samples from the start of one to that of the next."""

    @property
    def has_gains(self) -> bool:
        """Whether a segment has a gain."""
        return self.segment < _MAX_SAMPLES

    def frames(self, num_samples: int) -> list[int]:
        """Frames of each segment."""
        starts = range(0, num_samples, self.step)
        return [-(-min(self.segment, num_samples - start) // HOP) for start in starts]


MONO = Kind("encodec_24khz", sample_rate=24_000, channels=1, max_codebooks=32)
STEREO = Kind("encodec_48khz", sample_rate=48_000, channels=2, max_codebooks=16, segment=48_000, step=47_520)
KINDS = {kind.name: kind for kind in (MONO, STEREO)}


@dataclass(frozen=True)
class Ecdc:
    """What a file holds."""

    codes: NDArray[np.int64]
    """`[codebooks, frames]`, of 1024 entries each; the frames of one segment follow those of the other."""
    num_samples: int
    """Samples of the original, a channel."""
    kind: Kind = MONO
    gains: NDArray[np.float32] | None = None
    """Of each segment, `[segments]`, in files of the 48 kHz model."""


class LanguageModel(Protocol):
    """What gave the writer of a file probabilities."""

    def start(self, kind: Kind, count: int, /) -> Callable[[NDArray[np.int64] | None], NDArray[np.int64]]:
        """Begin a segment of `count` codebooks.

        Returns:
            What gives the next frame's shares, `[codebooks, entries]`, for the codes of the one before, `[codebooks]`.
        """


def parse(data: bytes, language: LanguageModel | None = None) -> Ecdc:
    """Read a file.

    Args:
        language: the model that coded it, if one did. Its probabilities must be the writer's to the last bit, which is
            sure on no other machine.
    Raises:
        BadMagic: it is not an .ecdc file.
        Truncated: it ends too early.
        UnsupportedVersion: it is of another version or model, or coded with a language model that was not given.
        InvalidField: its header is damaged, or there is more than it says.
        CodesMismatch: the language model's probabilities are not those of the writer.
    """
    if len(data) < _PREFIX.size or not data.startswith(MAGIC):
        raise BadMagic("not an .ecdc file")
    _, version, length = _PREFIX.unpack_from(data)
    if version:
        raise UnsupportedVersion(f"version {version} of .ecdc; this release reads 0")
    if length > _MAX_HEADER:
        raise InvalidField(f"the header has {length:,} bytes; expected at most {_MAX_HEADER:,}")
    kind, samples, count, coded = _read_header(data[_PREFIX.size : _PREFIX.size + length])
    payload = memoryview(data)[_PREFIX.size + length :]
    if not coded:
        return _read_segments(payload, kind, samples, count)
    if language is None:
        raise UnsupportedVersion(_NOT_PORTABLE)
    return _read_segments(payload, kind, samples, count, language)


def pack(ecdc: Ecdc) -> bytes:
    """Write a file, byte by byte as EnCodec's own program does."""
    facts = {"m": ecdc.kind.name, "al": ecdc.num_samples, "nc": len(ecdc.codes), "lm": False}
    header = json.dumps(facts).encode()
    frames = ecdc.kind.frames(ecdc.num_samples)
    segments = np.split(ecdc.codes, np.cumsum(frames)[:-1], axis=1) if frames else []
    gains = [b""] * len(frames) if ecdc.gains is None else [_GAIN.pack(gain) for gain in ecdc.gains]
    payload = b"".join(gain + _packed(codes) for gain, codes in zip(gains, segments, strict=True))
    return _PREFIX.pack(MAGIC, 0, len(header)) + header + payload


def _packed(codes: NDArray[np.int64]) -> bytes:
    bits = codes.T[..., None] >> np.arange(_BITS) & 1
    return np.packbits(bits.astype(np.uint8).ravel(), bitorder="little").tobytes()


_NOT_PORTABLE = (
    "the file is coded with EnCodec's language model, whose probabilities in float32 differ from machine to machine, "
    "so that it is sure to be read only where it was made; `soundstream convert --not-portable --language-model FILE` "
    "tries it, with the weights of that model"
)


def _read_header(text: bytes) -> tuple[Kind, int, int, bool]:
    """The model, samples, codebooks, and whether a language model coded them."""
    try:
        facts = json.loads(text)
        model, samples, count, coded = (facts[name] for name in ("m", "al", "nc", "lm"))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidField(f"the header of the .ecdc file is damaged: {error}") from error
    if not isinstance(model, str) or model not in KINDS:
        raise UnsupportedVersion(f"the file is of {model}; only those of {' and '.join(KINDS)} are read")
    _check_whole("samples", samples, 0, _MAX_SAMPLES)
    _check_whole("codebooks", count, 1, KINDS[model].max_codebooks)
    return KINDS[model], samples, count, bool(coded)


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise InvalidField(f"the .ecdc file says {value!r} {name}; expected {least} to {most}")


def _read_segments(
    payload: memoryview, kind: Kind, samples: int, count: int, language: LanguageModel | None = None
) -> Ecdc:
    least = _LEAST_BITS if language else _BITS
    if samples // HOP * count * least // 8 > len(payload):  # before anything is made of so many
        raise _too_short(payload)
    codes, gains, place = [np.zeros((count, 0), np.int64)], [], 0
    for frames in kind.frames(samples):
        if kind.has_gains:
            gains.append(_read_gain(payload[place : place + _GAIN.size], payload))
            place += _GAIN.size
        if language:
            found, length = _decode(payload[place:], language.start(kind, count), count, frames)
        else:
            length = -(-frames * count * _BITS // 8)
            found = _unpack(payload[place : place + length], count, frames, payload)
        codes.append(found)
        place += length
    if len(payload) > place:
        raise InvalidField("the .ecdc file goes on behind its last code")
    levels = np.array(gains, np.float32) if kind.has_gains else None
    return Ecdc(np.concatenate(codes, axis=1), samples, kind, levels)


def _too_short(payload: memoryview) -> Truncated:
    return Truncated(f"the .ecdc file has {len(payload):,} bytes of codes; its header says more")


def _read_gain(part: memoryview, payload: memoryview) -> float:
    if len(part) < _GAIN.size:
        raise _too_short(payload)
    (gain,) = _GAIN.unpack(part)
    if not 0 <= gain < np.inf:
        raise InvalidField(f"a segment of the .ecdc file has the gain {gain}; expected a number from 0 on")
    return gain


def _unpack(part: memoryview, count: int, frames: int, payload: memoryview) -> NDArray[np.int64]:
    """Codes `[codebooks, frames]` of a segment."""
    bits = frames * count * _BITS
    if len(part) < -(-bits // 8):
        raise _too_short(payload)
    flat = np.unpackbits(np.frombuffer(part, np.uint8), bitorder="little")
    if flat[bits:].any():
        raise InvalidField("the .ecdc file has bits behind the last code of a segment")
    values = flat[:bits].reshape(frames, count, _BITS).astype(np.int64) @ (1 << np.arange(_BITS))
    return np.ascontiguousarray(values.T)


def _decode(
    part: memoryview, table: Callable[[NDArray[np.int64] | None], NDArray[np.int64]], count: int, frames: int
) -> tuple[NDArray[np.int64], int]:
    """Codes `[codebooks, frames]` of a segment that a language model coded, and its bytes."""
    decoder, codes, last = ArithmeticDecoder(part), [np.zeros((0, count), np.int64)], None
    for _ in range(frames):
        last = np.array([decoder.pull(ends) for ends in table(last)])
        codes.append(last[None])
    return np.ascontiguousarray(np.concatenate(codes).T), decoder.finish()
