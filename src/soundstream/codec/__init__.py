"""The codec: pcm to `.nac` bytes and back, joining audio, runtime, entropy coding and bitstream."""

from soundstream.arrays import Array, Codes
from soundstream.codec.code_files import CodedAudio, load_codes, save_codes
from soundstream.codec.code_streams import CodeDecoder, CodeEncoder
from soundstream.codec.codec import Codec, codec_for, load, load_for
from soundstream.codec.description import FileInfo, info
from soundstream.codec.flat_codes import flatten_codes, unflatten_codes
from soundstream.codec.paths import Transfer, decode_file, encode_file
from soundstream.codec.reading import Damage
from soundstream.codec.verbs import (
    decode,
    encode,
    encode_many,
    from_codes,
    open_code_decoder,
    open_code_encoder,
    open_decoder,
    open_encoder,
    to_codes,
    to_codes_many,
)
from soundstream.codec.writing import packet_frames

__all__ = [
    "Array",
    "CodeDecoder",
    "CodeEncoder",
    "Codec",
    "CodedAudio",
    "Codes",
    "Damage",
    "FileInfo",
    "Transfer",
    "codec_for",
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
    "load_for",
    "open_code_decoder",
    "open_code_encoder",
    "open_decoder",
    "open_encoder",
    "packet_frames",
    "save_codes",
    "to_codes",
    "to_codes_many",
    "unflatten_codes",
]
