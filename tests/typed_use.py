"""A program that uses the package, checked by mypy and never run: its values have types, its mistakes are found.

mypy is strict, so that an `ignore` of a line in which it finds nothing is an error.
"""

from pathlib import Path
from typing import assert_type

import numpy as np

import soundstream

pcm = np.zeros((2, 48_000), np.float32)
data = soundstream.encode(pcm, 48_000, bitrate=6000)
decoded, rate = soundstream.decode(data)
codes = soundstream.to_codes(pcm, rate, effort=2)
transfer = soundstream.encode_file(Path("talk.wav"), "talk.nac", vbr=True)
with soundstream.open_encoder(rate, channels=2) as encoder:
    packets = encoder.push(decoded)

assert_type(data, bytes)
assert_type(rate, int)
assert_type(transfer.duration_s, float)
assert_type(packets, list[bytes])
assert_type(soundstream.info("talk.nac").tags, dict[str, str])
assert_type(soundstream.load().threads, int)

soundstream.encode(pcm, 48_000, bitrate="high")  # type: ignore[arg-type]
soundstream.encode(pcm)  # type: ignore[call-arg]
samples = decoded.samples  # type: ignore[attr-defined]
soundstream.encode_file("a.wav", loud=True)  # type: ignore[call-arg]
