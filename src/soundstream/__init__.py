"""A neural audio codec: speech, music and any sound at 1.5 to 18 kbit/s.

import soundstream

data = soundstream.encode(pcm, sample_rate=48_000, bitrate=6000)
pcm, sample_rate = soundstream.decode(data)
"""

from soundstream.codec import (
    Codec,
    Transfer,
    decode,
    decode_file,
    encode,
    encode_file,
    from_codes,
    load,
    open_decoder,
    open_encoder,
    to_codes,
)
from soundstream.config import CodecConfig, SeanetConfig, SpectralConfig
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

__version__ = "0.2.0"

__all__ = [
    "ArtifactError",
    "AudioError",
    "AudioWarning",
    "BadMagic",
    "BitstreamError",
    "ChecksumMismatch",
    "Codec",
    "CodecConfig",
    "CodecError",
    "CodesMismatch",
    "ConfigError",
    "IncompleteAudio",
    "InvalidField",
    "LimitError",
    "LiveDecoder",
    "LiveEncoder",
    "LoudAudio",
    "ModelMismatch",
    "OutputError",
    "ParityError",
    "SeanetConfig",
    "SpectralConfig",
    "TrainingError",
    "Transfer",
    "Truncated",
    "UnsupportedVersion",
    "decode",
    "decode_file",
    "encode",
    "encode_file",
    "from_codes",
    "load",
    "open_decoder",
    "open_encoder",
    "to_codes",
]
