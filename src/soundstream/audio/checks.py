"""The rules that pcm keeps: float32 [channels, samples] in [-1, 1], 1 to 8 channels, 8,000 to 192,000 Hz."""

from __future__ import annotations

import warnings
from numbers import Real

import numpy as np

from soundstream.errors import AudioError, LoudAudio

MAX_CHANNELS = 8
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 8_000, 192_000
TOO_LOUD = 4.0
"""Times full scale at which floats are taken for a mistake, such as 16-bit values that were not divided."""
KNEE = 0.95
"""Level up to which decoded sound is left as it is."""

_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}


def check(pcm: np.ndarray, sample_rate: int) -> np.ndarray:
    """Bring audio into the one form the codec takes, float32 [channels, samples].

    Args:
        pcm: [channels, samples] or [samples]; float, or int16 or int32 to be divided by full scale.
        sample_rate: Hz, 8,000 to 192,000.
    Raises:
        AudioError: the type, shape or rate is another, or a value is NaN, infinite, or at least 4 times full scale.
    Warns:
        LoudAudio: floats go beyond full scale.
    """
    pcm = np.atleast_2d(as_array(pcm))
    if pcm.ndim > 2:
        raise AudioError(f"audio has shape {list(pcm.shape)}; expected [channels, samples] or [samples]")
    check_format(sample_rate, pcm.shape[0])
    pcm = _to_float32(pcm)
    level = Level("audio")
    level.take(pcm)
    level.warn()
    return pcm


def as_array(pcm: object) -> np.ndarray:
    """Audio as an array, whatever holds it.

    Raises:
        AudioError: it does not become one, such as a list of channels of unlike length.
    """
    try:
        return np.asarray(pcm)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AudioError(f"audio cannot be taken as an array: {error}") from error


def check_format(sample_rate: float, channels: int) -> None:
    """Refuse a sample rate or a number of channels that the codec does not take.

    Raises:
        AudioError: sample_rate is not 8,000 to 192,000 Hz, or channels not 1 to 8.
    """
    whole_rate(sample_rate)
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"audio has {channels} channels; expected 1 to {MAX_CHANNELS}, as [channels, samples]")


def whole_rate(sample_rate: float) -> int:
    """A sample rate in Hz as an int; it may come as any whole number of Python or NumPy.

    Raises:
        AudioError: it is something else, or not 8,000 to 192,000 Hz.
    """
    if (
        not isinstance(sample_rate, Real)
        or not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE
        or sample_rate != int(sample_rate)
    ):
        said = f"{sample_rate} Hz" if isinstance(sample_rate, Real) else repr(sample_rate)
        raise AudioError(f"sample rate {said}; expected whole Hz from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}")
    return int(sample_rate)


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


class Level:
    """How loud float audio is, in times full scale.

    Args:
        name: of the audio, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._peak, self._sample = 0.0, 0

    def take(self, pcm: np.ndarray, first_sample: int = 0) -> None:
        """Look at pcm [channels, samples] that begins at `first_sample`.

        Raises:
            AudioError: it holds NaN or infinity, or reaches 4 times full scale.
        """
        peak = float(np.maximum(pcm.max(), -pcm.min())) if pcm.size else 0.0
        if not np.isfinite(peak):
            check_finite(pcm, first_sample)
        if peak > max(1.0, self._peak):
            self._peak, self._sample = peak, first_sample + int(np.abs(pcm).max(axis=0).argmax())
        if peak >= TOO_LOUD:
            raise AudioError(
                f"{self._name} reaches {peak:,.0f} times full scale at sample {self._sample}; "
                "expected floats in [-1, 1]: divide 16-bit values by 32768"
            )

    def warn(self) -> None:
        """Say so if it went beyond full scale.

        Warns:
            LoudAudio: it did.
        """
        if self._peak > 1:
            warnings.warn(
                f"{self._name} goes up to {self._peak:.2f} times full scale, at sample {self._sample}; "
                "what is beyond it comes back limited",
                LoudAudio,
                stacklevel=4,
            )


def _to_float32(pcm: np.ndarray) -> np.ndarray:
    pcm = pcm.astype(pcm.dtype.newbyteorder("="), copy=False)
    if pcm.dtype in _FULL_SCALE:
        return (pcm / _FULL_SCALE[pcm.dtype]).astype(np.float32)
    if not np.issubdtype(pcm.dtype, np.floating):
        raise AudioError(f"audio of type {pcm.dtype}; expected float in [-1, 1], int16 or int32")
    with np.errstate(over="ignore"):
        return pcm.astype(np.float32, order="C")


def soft_limit(pcm: np.ndarray) -> np.ndarray:
    """Bring decoded sound into [-1, 1]: up to 0.95 of full scale as it is, above it bent, and never beyond 1.

    Each sample is bent by itself, to 0.95 + 0.05 tanh((level - 0.95) / 0.05), so that chunks give the same as the
    whole.
    """
    level = np.abs(pcm)
    if not pcm.size or level.max() <= KNEE:
        return pcm
    bent = KNEE + (1 - KNEE) * np.tanh((level - KNEE) / (1 - KNEE))
    return np.where(level > KNEE, np.copysign(bent, pcm), pcm).astype(np.float32, copy=False)


def to_int16(pcm: np.ndarray) -> np.ndarray:
    """Samples of 16 bits; what lies outside [-1, 1] is clipped."""
    return np.clip(np.rint(pcm * 2.0**15), -(2**15), 2**15 - 1).astype(np.int16)
