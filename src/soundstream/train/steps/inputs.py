"""What changes from step to step: tensors that keep their places, so that a captured step finds them there."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.nn import distributed
from soundstream.train.config import TrainConfig
from soundstream.train.data.crops import Batch
from soundstream.train.data.features import featuring
from soundstream.train.data.placement import Heard, heard_of, slots

COMMITMENT, RATE, FLOOR = "commitment", "rate", "mel_floor"


class Inputs:
    """The examples of this process, random draws and the numbers of the schedule, on the device.

    A step reads all that it works on from here, and from the learning rates, which are tensors too: nothing of it may
    come from Python, where a captured step would find what was there when it was captured.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        data, codec = config.data, config.codec
        examples, samples = data.batch_size // distributed.count(), data.crop_frames * codec.hop_length
        self.config = config
        self.audio = torch.zeros(examples, codec.audio_channels, samples, device=device)
        self.channels: Heard | None = None
        """Those that are judged, of a codec that codes several together."""
        if codec.audio_channels > 1:
            own = slots(codec, data.batch_size)[distributed.rank() :: distributed.count()]
            self.channels = heard_of(own, device)
        self.target = self.judged(self.audio).clone()
        """Of each channel that is judged."""
        self.condition = torch.zeros(examples, codec.condition_dim, data.crop_frames, device=device)
        self.counts = torch.ones(examples, dtype=torch.long, device=device)
        """Codebooks in use by each example."""
        self.heard: Tensor | None = None
        """Samples of each crop that the discriminators hear; None is all."""
        if heard := config.discriminator_crop_frames * codec.hop_length:
            self.heard = torch.arange(heard, device=device)
        self.featuring = featuring(config.features, codec)
        self.features: Tensor | None = None
        """Of the crops, for a codec that takes some."""
        if codec.encoder_features:
            self.features = torch.zeros(examples, codec.encoder_features.channels, data.crop_frames, device=device)
        self.names = [*config.loss.terms(), COMMITMENT, RATE, FLOOR]
        self._numbers = torch.zeros(len(self.names), device=device)
        self.numbers = dict(zip(self.names, self._numbers, strict=True))
        """Weights of terms by name, and the floor of the mel loss."""

    def fill(self, batch: Batch) -> None:
        """Take the examples of this process, and draw what chance decides besides."""
        own = [part[distributed.rank() :: distributed.count()] for part in batch]
        for name, part in Batch(*own)._replace(target=self.judged(own[1].to(self.audio.device)))._asdict().items():
            getattr(self, name).copy_(part)
        if self.features is not None and self.featuring:
            self.features.copy_(self.featuring(self.audio))
        drawn = self.config.draw_counts(*torch.rand(2, self.config.data.batch_size))
        self.counts.copy_(drawn[distributed.rank() :: distributed.count()], non_blocking=True)
        if self.heard is not None:
            hop, compared = self.config.codec.hop_length, batch.target.shape[-1] - self.config.codec.delay_samples
            start = int(torch.randint((compared - len(self.heard)) // hop + 1, ())) * hop
            self.heard.copy_(torch.arange(start, start + len(self.heard)), non_blocking=True)

    def judged(self, audio: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "heard 1 samples"]:
        """Each channel that is decoded, as an example."""
        return self.channels.of(audio) if self.channels else audio

    def set(self, numbers: dict[str, float]) -> None:
        """Set weights and floor for the next step."""
        self._numbers.copy_(torch.tensor([numbers[name] for name in self.names]), non_blocking=True)
