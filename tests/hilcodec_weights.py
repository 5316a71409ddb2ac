"""A narrow HILCodec that its authors' code made, and what that code makes of a sound.

`python -m benchmarks.hilcodec_parity --original FOLDER --golden tests/golden` made the files; weights are random.
"""

from pathlib import Path

import numpy as np

from benchmarks.hilcodec_parity import NARROW as CONFIG
from soundstream.nn.families import hilcodec
from soundstream.nn.weights import read_tensors

FILE = Path(__file__).parent / "golden/hilcodec.pth"
HOP = CONFIG.hop_length


def model():
    """Ours of these weights."""
    return hilcodec.convert(read_tensors(FILE), CONFIG)


def golden():
    """A sound `[1, samples]`, its codes, and what they decode to."""
    with np.load(FILE.with_suffix(".npz")) as arrays:
        return arrays["pcm"], arrays["codes"].astype(np.int64), arrays["heard"]
