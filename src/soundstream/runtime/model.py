"""A model: what an artifact holds, and its codebooks and networks, which all streams share.

`runtime.artifact` reads an artifact of its folder, `runtime.stream` takes signals through a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundstream.arrays import Array, Codes
from soundstream.entropy.tables import Tables
from soundstream.runtime.factors import Factors
from soundstream.runtime.postfilter import PitchPostfilter
from soundstream.runtime.quantizer import Quantizer
from soundstream.runtime.search.levels import LevelCoder
from soundstream.runtime.session import CPU, Network
from soundstream.runtime.side import without_side
from soundstream.spec import CodecSpec

DENOISER_FILE, LEVELS_FILE, FEATURES_FILE = "denoiser.onnx", "levels.onnx", "features.onnx"
"""Networks that not every artifact has."""
BLOCK_S = 1.0
"""Sound in one call of a network at most; it bounds memory on long input."""
CONTEXT_BLOCK_S = 2.0
"""The same of networks with context: what they compute twice is a smaller share of more."""
CONTEXTS = 4
"""A call has at least so many times the frames of a context, on a whole grid, which it computes too."""
TURN_S = 0.1
"""Time over which the denoise switch goes from off to on, or back, in the middle of a stream."""


@dataclass(frozen=True)
class Artifact:
    """A verified artifact."""

    folder: Path
    spec: CodecSpec
    model_id: bytes
    """8 bytes that name these exact weights; every .nac file carries them."""
    codebooks: NDArray[np.float32]
    """`[num_quantizers, codebook_size, width]`; `width` is latent_dim unless `factors` stand between."""
    tables: Tables | None = None
    """Of the entropy coder; None if none were fitted."""
    has_denoiser: bool = False
    """Whether there is a graph that tells the encoder how to remove noise."""
    factors: Factors = field(default_factory=Factors)
    """What stands between latents and codebooks."""


class Model:
    """The codebooks and networks of an artifact, shared by all streams; a network is loaded when it is first asked for.

    Args:
        threads: CPU threads of ONNX Runtime; one is enough for many times real time.
        postfilter: what is decoded passes the pitch post-filter.
        provider: of ONNX Runtime, as `execution_provider` takes it.
    """

    def __init__(self, artifact: Artifact, threads: int = 1, postfilter: bool = False, provider: str = CPU) -> None:
        self.spec, self.postfilter = artifact.spec, postfilter
        self._artifact, self._threads, self._provider = artifact, threads, provider
        levels = artifact.spec.levels
        self.quantizer = Quantizer(
            artifact.codebooks, artifact.factors, (levels.place, levels.bands) if levels else None
        )
        grid, self.turn_frames = self.spec.grid, self.spec.frames_in(TURN_S)
        block_s = CONTEXT_BLOCK_S if self.spec.context_frames else BLOCK_S
        least = max(self.spec.frames_in(block_s), CONTEXTS * (self.spec.context_frames + grid - 1))
        self.block_frames = -(-least // grid) * grid
        """Frames in one call of a network at most, and over which the denoise switch turns."""

    @cached_property
    def encoder(self) -> Network:
        """pcm to latents."""
        return self._network("encoder.onnx")

    @cached_property
    def decoder(self) -> Network:
        """Latents to pcm."""
        return self._network("decoder.onnx")

    @cached_property
    def unpadded_decoder(self) -> Network:
        """The decoder without zeros at the ends of what it is given, and with all that its last layers make of it.

        Raises:
            ModelMismatch: it has no such form.
        """
        return self._network("decoder.onnx", padded=False)

    @cached_property
    def denoiser(self) -> Network | None:
        """What tells the encoder how to remove noise; None if FiLM does all of it."""
        return self._network(DENOISER_FILE) if self._artifact.has_denoiser else None

    @cached_property
    def levels(self) -> Network | None:
        """Latents and quantized ones to what the decoder lacks in bands; None if the codec has no codes for that."""
        return self._network(LEVELS_FILE) if self.spec.levels else None

    @cached_property
    def features(self) -> Network | None:
        """Features of a sound to what they add to its latents; None if the codec takes none."""
        return self._network(FEATURES_FILE) if self.spec.features else None

    def new_level_coder(self, streams: int, paths: int = 1) -> LevelCoder | None:
        """What finds the codes of levels, if there are some."""
        if not (self.levels and self.spec.levels):
            return None
        codebook = self.quantizer.codebooks[self.spec.levels.place][:, -self.spec.levels.bands :]
        return LevelCoder(self.spec.levels.memory, np.ascontiguousarray(codebook), self.levels, streams, paths)

    def latents(self, codes: Codes) -> Array:
        """Latents and, behind them, side numbers `[streams, latent_dim + side_numbers, frames]`.

        Args:
            codes: `[streams, num_quantizers + side_numbers, frames]`.
        """
        if not self.spec.side_numbers:
            return self.quantizer.decode(codes)
        codes, side = without_side(codes, self.spec.side_numbers)
        return np.concatenate([self.quantizer.decode(codes), side], axis=1)

    @cached_property
    def memory_frames(self) -> int:
        """Frames before one that its decoded sound may depend on: decoding from a place begins as many before it."""
        postfilter = self.new_postfilter(1)
        network = max(self.spec.memory_frames, self.spec.context_frames)
        return network + (postfilter.memory_frames if postfilter else 0)

    def new_postfilter(self, channels: int) -> PitchPostfilter | None:
        """What the decoded sound of a signal passes, if anything."""
        wanted = self.postfilter and self.spec.postfilter
        if not wanted or self.spec.segment_samples:  # whose sound does not come frame by frame
            return None
        return PitchPostfilter(channels, self.spec.sample_rate, self.spec.hop_length)

    def _network(self, name: str, padded: bool = True) -> Network:
        return Network(self._artifact.folder / name, self.spec.hop_length, self._threads, self._provider, padded)
