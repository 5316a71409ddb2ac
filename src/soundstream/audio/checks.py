"""The rules that pcm keeps: float32 [channels, samples] in [-1, 1], 1 to 8 channels, 8,000 to 192,000 Hz."""

from __future__ import annotations

import numpy as np

from soundstream.errors import AudioError

MAX_CHANNELS = 8
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 8_000, 192_000

_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}


def check(pcm: np.ndarray, sample_rate: int) -> np.ndarray:
    """Bring audio into the one form the codec takes, float32 [channels, samples].

    Args:
        pcm: [channels, samples] or [samples]; float, or int16 or int32 to be divided by full scale.
        sample_rate: Hz, 8,000 to 192,000.
    Raises:
        AudioError: the type, shape or rate is another, or a value is NaN or infinite.
    """
    pcm = np.atleast_2d(np.asarray(pcm))
    if pcm.ndim > 2:
        raise AudioError(f"audio has shape {list(pcm.shape)}; expected [channels, samples] or [samples]")
    check_format(sample_rate, pcm.shape[0])
    pcm = _to_float32(pcm)
    check_finite(pcm)
    return pcm


def check_format(sample_rate: int, channels: int) -> None:
    """Refuse a sample rate or a number of channels that the codec does not take.

    Raises:
        AudioError: sample_rate is not 8,000 to 192,000 Hz, or channels not 1 to 8.
    """
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE or sample_rate != int(sample_rate):
        raise AudioError(f"sample rate {sample_rate} Hz; expected whole Hz from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"audio has {channels} channels; expected 1 to {MAX_CHANNELS}, as [channels, samples]")


def check_finite(pcm: np.ndarray, first_sample: int = 0) -> None:
    """Refuse NaN and infinity in pcm [channels, samples].

    Args:
        first_sample: where the block starts in its file.
    Raises:
        AudioError: a value is not finite; the message says which.
    """
    bad = ~np.isfinite(pcm)
    if bad.any():
        sample = int(bad.any(axis=0).argmax())
        channel = int(bad[:, sample].argmax())
        raise AudioError(f"audio holds {pcm[channel, sample]} at sample {first_sample + sample} of channel {channel}")


def _to_float32(pcm: np.ndarray) -> np.ndarray:
    if pcm.dtype in _FULL_SCALE:
        return (pcm / _FULL_SCALE[pcm.dtype]).astype(np.float32)
    if not np.issubdtype(pcm.dtype, np.floating):
        raise AudioError(f"audio of type {pcm.dtype}; expected float in [-1, 1], int16 or int32")
    with np.errstate(over="ignore"):
        return pcm.astype(np.float32, order="C")


def to_int16(pcm: np.ndarray) -> np.ndarray:
    """Samples of 16 bits; what lies outside [-1, 1] is clipped."""
    return np.clip(np.rint(pcm * 2.0**15), -(2**15), 2**15 - 1).astype(np.int16)
