"""A family that codes two channels together, as one signal or in segments with a gain beside their codes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from soundstream.limits import Whole
from soundstream.nn.config import FamilyConfig
from soundstream.nn.graph import Graph
from soundstream.nn.layers.conv import CausalConv, CausalUpsample
from soundstream.nn.layers.scaling import Gain
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.streaming import Chain, State, StreamingModule
from soundstream.spec import CodecSpec


@dataclass(frozen=True)
class Config(FamilyConfig):
    """Settings of the networks."""

    hop_length: Annotated[int, Whole(8, 1024)] = 80
    """Samples per frame."""
    segment_frames: Annotated[int, Whole(0, 255)] = 0
    """Frames of a segment; 0 is one causal signal."""
    overlap_samples: Annotated[int, Whole(0, 1024)] = 100
    """Samples that segments share."""

    @property
    def audio_channels(self) -> int:
        return 2

    @property
    def side_numbers(self) -> int:
        return 1 if self.segment_frames else 0

    def spec(self) -> CodecSpec:
        spec, samples = super().spec(), self.segment_frames * self.hop_length
        overlap = self.overlap_samples if samples else 0
        return dataclasses.replace(spec, segment_samples=samples, overlap_samples=overlap)


class Completed(StreamingModule):
    """Zeros behind the last sample, up to a whole frame."""

    def __init__(self, hop_length: int) -> None:
        super().__init__()
        self.hop_length = hop_length

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return functional.pad(x, (0, -x.shape[3] % self.hop_length)), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        less = graph.node("Neg", [graph.node("Shape", [x], f"{name}.time", start=3)], f"{name}.less")
        behind = graph.node("Mod", [less, graph.constant(f"{name}.hop", [self.hop_length])], f"{name}.behind")
        pads = graph.node("Concat", [graph.constant(f"{name}.none", [0]), behind], f"{name}.pads", axis=0)
        return graph.node("Pad", [x, pads, "", graph.constant(f"{name}.axis", [3])], name)


def build(config: Config) -> SoundStream:
    """Fresh networks."""
    down = CausalConv(2, config.latent_dim, kernel=2 * config.hop_length, stride=config.hop_length)
    up = CausalUpsample(config.latent_dim, 2, config.hop_length)
    gain = Gain() if config.segment_frames else None
    encoder = Chain(completed=Completed(config.hop_length), down=down)
    return SoundStream(config, Networks(encoder, Chain(up=up), gain=gain))


def fresh(seed: int = 0, segment_frames: int = 0) -> SoundStream:
    """A small model with random weights whose sound stays far from full scale."""
    torch.manual_seed(seed)
    config = Config(sample_rate=8_000, latent_dim=8, num_quantizers=3, codebook_size=16, segment_frames=segment_frames)
    model = build(config).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter *= 0.2
    return model
