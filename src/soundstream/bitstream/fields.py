"""Ranges and checksums of the format's fields: one check answers a caller and a file, with the error that fits."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from soundstream.errors import ChecksumMismatch, ConfigError, InvalidField

CRC = struct.Struct("<I")
MAX_PAYLOAD = 0xFFFF
"""Bytes of a packet's payload at most."""


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Refuse a value that the field cannot hold.

    Raises:
        ConfigError: value is not a whole number from low to high.
    """
    if not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; expected a whole number from {low} to {high}")


@contextmanager
def read_from_file() -> Iterator[None]:
    """Turn the ConfigError of a value into the InvalidField of a file that holds it."""
    try:
        yield
    except ConfigError as error:
        raise InvalidField(f"the file is damaged or was not written by an encoder: {error}") from error


def with_crc(data: bytes) -> bytes:
    """Append the CRC-32 of `data`."""
    return data + CRC.pack(zlib.crc32(data))


def without_crc(data: bytes, what: str) -> bytes:
    """Inverse of `with_crc`; `what` names the part in the message.

    Raises:
        ChecksumMismatch: the last four bytes are not the CRC-32 of those before.
    """
    body, stored = data[: -CRC.size], CRC.unpack(data[-CRC.size :])[0]
    if zlib.crc32(body) != stored:
        raise ChecksumMismatch(f"the bytes of {what} do not match their checksum; the file was changed or damaged")
    return body
