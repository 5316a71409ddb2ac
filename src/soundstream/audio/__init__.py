"""Audio files to pcm and back, and the rules that pcm keeps.

pcm is float32 [channels, samples] in [-1, 1], 1 to 8 channels, 8,000 to 192,000 Hz.
"""

from soundstream.audio.checks import check, check_finite, check_format, to_int16
from soundstream.audio.read import READABLE, AudioReader, Source, open_reader, read
from soundstream.audio.resample import Resampler, resample, resampled_length
from soundstream.audio.write import AudioWriter, open_writer

__all__ = [
    "READABLE",
    "AudioReader",
    "AudioWriter",
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
    "to_int16",
]
