"""A family of another distribution, as docs/guides/add-a-codec.md makes it: one strided layer each way, and a comb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from soundstream.limits import Whole
from soundstream.nn.config import FamilyConfig
from soundstream.nn.graph import Graph
from soundstream.nn.layers.conv import CausalConv, CausalUpsample, Elu
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.streaming import Chain, State, StreamingModule


@dataclass(frozen=True)
class Config(FamilyConfig):
    """Settings of the networks."""

    hop_length: Annotated[int, Whole(8, 1024)] = 80
    """Samples per frame."""
    width: Annotated[int, Whole(1, 256)] = 8
    """Channels between the layers."""


class Comb(StreamingModule):
    """x + gain * (x one frame ago), a gain a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((1, channels, 1, 1), 0.5))

    def init_state(self, batch: int) -> State:
        return {"left": self.gain.new_zeros(batch, self.gain.shape[1], 1, 1)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        joined = torch.cat([state["left"].to(x.dtype), x], dim=-1)
        return x + self.gain * joined[..., :-1], {"left": joined[..., -1:]}

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        joined = graph.join_left(f"{name}.left", self.gain.shape[1], 1, x)
        before = graph.slice(joined, f"{name}.before", start=0, end=-1, axis=3)
        scaled = graph.node("Mul", [before, graph.constant(f"{name}.gain", self.gain)], f"{name}.scaled")
        return graph.node("Add", [x, scaled], name)


def build(config: Config) -> SoundStream:
    """Fresh networks."""
    encoder = Chain(
        down=CausalConv(1, config.width, kernel=2 * config.hop_length, stride=config.hop_length),
        elu=Elu(),
        comb=Comb(config.width),
        last=CausalConv(config.width, config.latent_dim, kernel=1),
    )
    decoder = Chain(
        first=CausalConv(config.latent_dim, config.width, kernel=3),
        comb=Comb(config.width),
        up=CausalUpsample(config.width, 1, config.hop_length),
    )
    return SoundStream(config, Networks(encoder, decoder))
