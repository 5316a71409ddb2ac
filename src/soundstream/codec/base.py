"""A loaded model, and the header of the files that it writes and reads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from soundstream import audio
from soundstream.bitstream import Header
from soundstream.codec.packing import Coding
from soundstream.errors import InvalidField, ModelMismatch
from soundstream.runtime.artifact import Artifact
from soundstream.runtime.models import describe
from soundstream.runtime.stream import Model
from soundstream.spec import CodecSpec

Array = NDArray[np.float32]
Codes = NDArray[np.int64]


class LoadedModel:
    """A model with its entropy coders.

    Args:
        artifact: the verified model.
        threads: CPU threads of the networks.
        postfilter: what is decoded passes `soundstream.runtime.postfilter`.
    """

    def __init__(self, artifact: Artifact, threads: int = 1, postfilter: bool = True) -> None:
        self.spec: CodecSpec = artifact.spec
        self.model_id = artifact.model_id
        self.folder = artifact.folder
        self.threads, self.postfilter = threads, postfilter
        self.model = Model(artifact, threads, postfilter)
        self.coding = Coding(self.spec.codebook_bits, artifact.codebooks, artifact.tables)

    def header(
        self,
        sample_rate: int,
        channels: int,
        bitrate: int | None = None,
        num_samples: int | None = None,
        tags: Mapping[str, str] | None = None,
        entropy: str | None = None,
    ) -> Header:
        """The header of a file that this codec is to write.

        Args:
            bitrate: as `encode`.
            num_samples: samples per channel, None if unknown as with a pipe.
            entropy: as `encode`.
        Raises:
            AudioError, ConfigError: the rate, the channels, the bit rate or the entropy mode are not supported.
        """
        audio.check_format(sample_rate, channels)
        sample_rate = audio.whole_rate(sample_rate)
        num_quantizers = self.spec.quantizers_for(bitrate)
        return Header(
            model_id=self.model_id,
            sample_rate=sample_rate,
            channels=channels,
            codec_sample_rate=self.spec.sample_rate,
            hop_length=self.spec.hop_length,
            codebook_bits=self.spec.codebook_bits,
            num_quantizers=num_quantizers,
            entropy_mode=self.coding.mode(entropy, num_quantizers),
            num_samples=num_samples,
            tags=tags or {},
        )

    def check_model(self, header: Header) -> None:
        """Refuse a file that this codec cannot decode.

        Raises:
            ModelMismatch: another model made it.
            InvalidField: it contradicts its model.
        """
        if header.model_id != self.model_id:
            raise ModelMismatch(
                f"the file was made by {describe(header.model_id)}, loaded is {self.model_id.hex()}; "
                "give the file's own model with --model"
            )
        expected = self.header(header.sample_rate, header.channels, self.spec.bitrate(1))
        for name in ("codec_sample_rate", "hop_length", "codebook_bits"):
            if getattr(header, name) != getattr(expected, name):
                raise InvalidField(f"{name} is {getattr(header, name)}; this model has {getattr(expected, name)}")
        if header.num_quantizers > self.spec.num_quantizers:
            raise InvalidField(
                f"the file uses {header.num_quantizers} codebooks; this model has {self.spec.num_quantizers}"
            )
