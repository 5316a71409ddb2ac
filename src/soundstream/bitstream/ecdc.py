"""`.ecdc`, the files of EnCodec's own program: the plain ones of its 24 kHz model, bytes to codes and back.

    offset  bytes   field           value
    0       4       magic           ECDC
    4       1       version         0
    5       4       header length   n, most significant byte first
    9       n       header          JSON: m model, al samples, nc codebooks, lm whether a language model coded them
    9 + n           codes           frame by frame, in a frame codebook by codebook, 10 bits each, the least significant
                                    bit first into each byte

Such a file has no checksum: its length can be checked, and that the bits which fill the last byte are zero.

Source: facebookresearch/encodec, `encodec/binary.py` and `compress.py`. Frames are counted in whole numbers, where that
program's reader counts in floats and so refuses some of its own files.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundstream.errors import BadMagic, InvalidField, Truncated, UnsupportedVersion

MAGIC = b"ECDC"
MODEL = "encodec_24khz"
SAMPLE_RATE = 24_000
HOP = 320
MOST_CODEBOOKS = 32
_BITS = 10
_PREFIX = struct.Struct(">4sBI")
_MOST_HEADER = 4096


@dataclass(frozen=True)
class Ecdc:
    """What a file holds."""

    codes: NDArray[np.int64]
    """`[codebooks, frames]`, of 1024 entries each."""
    num_samples: int
    """Samples of the original at 24 kHz, mono."""


def parse(data: bytes) -> Ecdc:
    """Read a file.

    Raises:
        BadMagic: it is not an .ecdc file.
        Truncated: it ends too early.
        UnsupportedVersion: it is of another version or model, or coded with the language model.
        InvalidField: its header is damaged, or there is more than it says.
    """
    if len(data) < _PREFIX.size or not data.startswith(MAGIC):
        raise BadMagic("not an .ecdc file")
    _, version, length = _PREFIX.unpack_from(data)
    if version:
        raise UnsupportedVersion(f"version {version} of .ecdc; this release reads 0")
    if length > _MOST_HEADER:
        raise InvalidField(f"the header has {length:,} bytes; expected at most {_MOST_HEADER:,}")
    samples, count = _read_header(data[_PREFIX.size : _PREFIX.size + length])
    return Ecdc(_unpack(data[_PREFIX.size + length :], count, -(-samples // HOP)), samples)


def pack(ecdc: Ecdc) -> bytes:
    """Write a file, byte by byte as EnCodec's own program does."""
    facts = {"m": MODEL, "al": ecdc.num_samples, "nc": len(ecdc.codes), "lm": False}
    header = json.dumps(facts).encode()
    bits = ecdc.codes.T[..., None] >> np.arange(_BITS) & 1
    payload = np.packbits(bits.astype(np.uint8).ravel(), bitorder="little").tobytes()
    return _PREFIX.pack(MAGIC, 0, len(header)) + header + payload


def _read_header(text: bytes) -> tuple[int, int]:
    """Samples and codebooks."""
    try:
        facts = json.loads(text)
        model, samples, count, coded = (facts[name] for name in ("m", "al", "nc", "lm"))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidField(f"the header of the .ecdc file is damaged: {error}") from error
    if model != MODEL:
        raise UnsupportedVersion(f"the file is of {model}; only those of {MODEL} are read")
    if coded:
        raise UnsupportedVersion(
            "the file is coded with EnCodec's language model, whose probabilities differ from machine to machine: "
            "decode it where it was made"
        )
    _check_whole("samples", samples, 0, 2**40)
    _check_whole("codebooks", count, 1, MOST_CODEBOOKS)
    return samples, count


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise InvalidField(f"the .ecdc file says {value!r} {name}; expected {least} to {most}")


def _unpack(payload: bytes, count: int, frames: int) -> NDArray[np.int64]:
    bits = frames * count * _BITS
    length = -(-bits // 8)
    if len(payload) < length:
        raise Truncated(f"the .ecdc file has {len(payload):,} bytes of codes; its header says {length:,}")
    flat = np.unpackbits(np.frombuffer(payload, np.uint8), bitorder="little")
    if len(payload) > length or flat[bits:].any():
        raise InvalidField("the .ecdc file goes on behind its last code")
    values = flat[:bits].reshape(frames, count, _BITS).astype(np.int64) @ (1 << np.arange(_BITS))
    return np.ascontiguousarray(values.T)
