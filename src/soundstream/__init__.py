"""A neural audio codec: speech, music and any sound at 1.5 to 18 kbit/s.

import soundstream

data = soundstream.encode(pcm, sample_rate=48_000, bitrate=6000)
pcm, sample_rate = soundstream.decode(data)
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from soundstream.codec import (
    Codec,
    CodedAudio,
    CodeDecoder,
    CodeEncoder,
    FileInfo,
    Transfer,
    decode,
    decode_file,
    encode,
    encode_file,
    encode_many,
    flatten_codes,
    from_codes,
    info,
    load,
    load_codes,
    open_code_decoder,
    open_code_encoder,
    open_decoder,
    open_encoder,
    save_codes,
    to_codes,
    to_codes_many,
    unflatten_codes,
)
from soundstream.errors import (
    ArtifactError,
    AudioError,
    AudioWarning,
    BadMagic,
    BitstreamError,
    ChecksumMismatch,
    CodecError,
    CodesMismatch,
    ConfigError,
    IncompleteAudio,
    InputError,
    InvalidField,
    LimitError,
    LoudAudio,
    ModelMismatch,
    OutputError,
    ParityError,
    TrainingError,
    Truncated,
    UnsupportedVersion,
)
from soundstream.live import LiveDecoder, LiveEncoder
from soundstream.spec import CodecSpec

if TYPE_CHECKING:
    from soundstream import tokens

__version__ = "0.2.0"

__all__ = [
    "ArtifactError",
    "AudioError",
    "AudioWarning",
    "BadMagic",
    "BitstreamError",
    "ChecksumMismatch",
    "CodeDecoder",
    "CodeEncoder",
    "Codec",
    "CodecError",
    "CodecSpec",
    "CodedAudio",
    "CodesMismatch",
    "ConfigError",
    "FileInfo",
    "IncompleteAudio",
    "InputError",
    "InvalidField",
    "LimitError",
    "LiveDecoder",
    "LiveEncoder",
    "LoudAudio",
    "ModelMismatch",
    "OutputError",
    "ParityError",
    "TrainingError",
    "Transfer",
    "Truncated",
    "UnsupportedVersion",
    "decode",
    "decode_file",
    "encode",
    "encode_file",
    "encode_many",
    "flatten_codes",
    "from_codes",
    "info",
    "load",
    "load_codes",
    "open_code_decoder",
    "open_code_encoder",
    "open_decoder",
    "open_encoder",
    "save_codes",
    "to_codes",
    "to_codes_many",
    "tokens",
    "unflatten_codes",
]


def __getattr__(name: str) -> ModuleType:
    """`soundstream.tokens` is imported when it is first asked for: most programs never do, and it takes time."""
    if name == "tokens":
        return import_module("soundstream.tokens")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
