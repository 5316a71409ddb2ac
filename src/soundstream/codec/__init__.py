"""The codec: pcm to `.nac` bytes and back, joining audio, runtime, entropy coding and bitstream."""

from soundstream.codec.base import DEFAULT_BITRATE, Array, Codes
from soundstream.codec.codec import Codec
from soundstream.codec.library import (
    decode,
    encode,
    from_codes,
    load,
    load_for,
    open_decoder,
    open_encoder,
    to_codes,
)
from soundstream.codec.paths import Transfer, codec_for, decode_file, encode_file
from soundstream.codec.reading import Damage
from soundstream.codec.writing import packet_frames

__all__ = [
    "DEFAULT_BITRATE",
    "Array",
    "Codec",
    "Codes",
    "Damage",
    "Transfer",
    "codec_for",
    "decode",
    "decode_file",
    "encode",
    "encode_file",
    "from_codes",
    "load",
    "load_for",
    "open_decoder",
    "open_encoder",
    "packet_frames",
    "to_codes",
]
