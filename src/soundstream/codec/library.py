"""Models by name, folder or id, and the codec's verbs with the model that is meant."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np

from soundstream.bitstream import Reader
from soundstream.codec.base import DEFAULT_BITRATE, Array, Codes
from soundstream.codec.codec import Codec
from soundstream.errors import ModelMismatch
from soundstream.live import LIVE_EFFORT, LiveDecoder, LiveEncoder
from soundstream.runtime.artifact import load_artifact, shipped
from soundstream.runtime.models import VARIABLE, describe, find_by_id, model_folders
from soundstream.runtime.quantizer import DEFAULT_EFFORT


@lru_cache(maxsize=4)
def load(name_or_path: str | Path = "default", threads: int = 1) -> Codec:
    """Load a codec: one that ships with the package by name, or any artifact folder by path. Loaded once per process.

    Raises:
        ArtifactError: the model is missing or damaged.
    """
    return Codec(load_artifact(name_or_path), threads)


def load_for(model_id: bytes, threads: int = 1) -> Codec:
    """Load the model that a file names: a shipped one, or one in a folder that SOUNDSTREAM_MODELS names.

    Raises:
        ModelMismatch: no known folder holds it.
        ArtifactError: the model is damaged.
    """
    folder = find_by_id(model_id, model_folders())
    if folder is None:
        raise ModelMismatch(
            f"the file was made by {describe(model_id)}, which is not among the shipped ones "
            f"({', '.join(shipped())}); give its folder with --model or in {VARIABLE}"
        )
    return load(folder, threads)


def encode(
    pcm: np.ndarray,
    sample_rate: int,
    bitrate: int = DEFAULT_BITRATE,
    denoise: float = 0.0,
    effort: int = DEFAULT_EFFORT,
) -> bytes:
    """`Codec.encode` with the default model."""
    return load().encode(pcm, sample_rate, bitrate, denoise=denoise, effort=effort)


def decode(data: bytes, denoise: float = 0.0) -> tuple[Array, int]:
    """`Codec.decode` with the model that the file names."""
    return load_for(Reader(io.BytesIO(data)).header.model_id).decode(data, denoise=denoise)


def to_codes(pcm: np.ndarray, sample_rate: int, bitrate: int = DEFAULT_BITRATE, effort: int = DEFAULT_EFFORT) -> Codes:
    """`Codec.to_codes` with the default model."""
    return load().to_codes(pcm, sample_rate, bitrate, effort=effort)


def from_codes(codes: np.ndarray) -> Array:
    """`Codec.from_codes` with the default model."""
    return load().from_codes(codes)


def open_encoder(
    sample_rate: int,
    channels: int = 1,
    bitrate: int = DEFAULT_BITRATE,
    *,
    denoise: float = 0.0,
    packet_frames: int = 1,
    redundancy: int = 0,
    effort: int = LIVE_EFFORT,
) -> LiveEncoder:
    """`Codec.open_encoder` with the default model."""
    return load().open_encoder(
        sample_rate,
        channels,
        bitrate,
        denoise=denoise,
        packet_frames=packet_frames,
        redundancy=redundancy,
        effort=effort,
    )


def open_decoder(sample_rate: int, channels: int = 1) -> LiveDecoder:
    """`Codec.open_decoder` with the default model."""
    return load().open_decoder(sample_rate, channels)
