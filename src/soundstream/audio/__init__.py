"""Audio files to pcm and back, and the rules that pcm keeps.

pcm is float32 [channels, samples] in [-1, 1], 1 to 8 channels, 8,000 to 192,000 Hz.
"""

from soundstream.audio.checks import check, check_finite, check_format, soft_limit, to_int16, whole_rate
from soundstream.audio.media import READABLE
from soundstream.audio.metadata import TAGS
from soundstream.audio.raw import Raw
from soundstream.audio.read import SUFFIXES, AudioReader, Source, open_reader, read
from soundstream.audio.resample import Resampler, resample, resampled_length
from soundstream.audio.write import WRITABLE, AudioWriter, open_writer

__all__ = [
    "READABLE",
    "SUFFIXES",
    "TAGS",
    "WRITABLE",
    "AudioReader",
    "AudioWriter",
    "Raw",
    "Resampler",
    "Source",
    "check",
    "check_finite",
    "check_format",
    "open_reader",
    "open_writer",
    "read",
    "resample",
    "resampled_length",
    "soft_limit",
    "to_int16",
    "whole_rate",
]
