"""VRVQ's models: DAC's networks, and beside the encoder's end one that says how many codebooks each frame needs.

    encoder: DAC's, up to its last block ─┬─ Snake -> conv k3 to latent_dim ──────────────────── latents
                                          └─ 6 x [Snake, conv k3], channels fall to 1 -> sigmoid ─ importance
    decoder: DAC's

A frame of importance p has `min(n, floor(p * quality * n) + 1)` of the n codebooks, from the first on. Who codes
chooses the quality, or a size of the file, which finds it (`codec.vbr`); without either all frames have as many. The
counts stand in the file, so that decoding takes no importance.

Latents depend on as many frames to either side as DAC's, importance on what its own layers see more.

Artifacts keep the weights as float32, so that codes and counts are those of the original.

Source: VRVQ (Chae et al., 2024), sections 3 and 4. Its authors published no weights: what `convert` takes are those of
a training by their code.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from soundstream.limits import Whole
from soundstream.nn.families import dac
from soundstream.nn.graph import Graph
from soundstream.nn.importance import Sigmoid
from soundstream.nn.layers.dilated import SCALE, seen_by_encoder
from soundstream.nn.layers.padded import PaddedConv
from soundstream.nn.layers.snake import Snake
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.streaming import Chain, State, StreamingModule
from soundstream.nn.weights import Weights, fill_factored
from soundstream.spec import Importance

KERNEL = 3
"""Frames that a layer of the importance network sees, its own in their middle."""
LEVELS = (0.125, 6.0)
"""Ends of the qualities that the published training draws from; its authors use 0.2 to 4."""
BRANCH = "importance"
"""Name of the importance network in the encoder."""


@dataclass(frozen=True)
class Config(dac.Config):
    """VRVQ's settings; the defaults are those of the published run files."""

    num_quantizers: Annotated[int, Whole(1, 128)] = 8
    """Codebooks that exist; a frame has the first of them."""
    importance_channels: Annotated[tuple[int, ...], Whole(1, 4096)] = (1024, 512, 128, 32, 8)
    """Channels between the layers of the importance network."""

    @property
    def importance(self) -> Importance:
        return Importance(*LEVELS)

    @property
    def context_frames(self) -> int:
        """Frames to either side of one that its importance, or its decoded sound, depend on."""
        reach = (len(self.importance_channels) + 1) * (KERNEL // 2)
        return max(super().context_frames, seen_by_encoder(self.strides, reach))


class Encoder(Chain):
    """DAC's encoder, whose blocks are followed by two branches: latents, and behind them the importance.

    Args:
        layers: those of DAC's encoder, of which the last two make latents.
        importance: what the last block gives to one channel.
    """

    def __init__(self, layers: dict[str, StreamingModule], importance: Chain) -> None:
        super().__init__(**layers, **{BRANCH: importance})
        self.shared, self.ends = tuple(layers)[:-2], tuple(layers)[-2:]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        x, new_state = self._through(self.shared, x, state)
        latents, of_latents = self._through(self.ends, x, state)
        importance, of_importance = self._through((BRANCH,), x, state)
        return torch.cat([latents, importance], dim=1), new_state | of_latents | of_importance

    def _through(self, names: tuple[str, ...], x: Tensor, state: State) -> tuple[Tensor, State]:
        """Some layers one after the other."""
        new_state: State = {}
        for name in names:
            x, part = self.step_layer(name, x, state)
            new_state |= part
        return x, new_state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        x = self._through_onnx(self.shared, graph, x)
        branches = [self._through_onnx(names, graph, x) for names in (self.ends, (BRANCH,))]
        return graph.node("Concat", branches, "encoder.both", axis=1)

    def _through_onnx(self, names: tuple[str, ...], graph: Graph, x: str) -> str:
        for name in names:
            x = getattr(self, name).onnx(graph, name, x)
        return x


def build(config: Config) -> SoundStream:
    """Fresh networks."""
    encoder = Encoder(dict(dac.encoder(config).layers()), importance_network(config))
    return SoundStream(config, Networks(encoder, dac.decoder(config)))


def importance_network(config: Config) -> Chain:
    """What the last block gives, `[batch, channels, 1, frames]`, to importance `[batch, 1, 1, frames]`."""
    widths = [config.encoder_channels << len(config.strides), *config.importance_channels, 1]
    layers: dict[str, StreamingModule] = {}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        layers[f"snake{i}"] = Snake(inputs)
        layers[f"conv{i}"] = PaddedConv(inputs, outputs, KERNEL, scale=SCALE)
    return Chain(**layers, sigmoid=Sigmoid())


VARIANTS = {"44khz": Config()}
"""Settings of the published run files."""
CARD = """\
VRVQ of Chae et al., *Variable Bitrate Residual Vector Quantization for Audio Coding*, 2024
(arXiv:2410.06016). Code is published by SonyResearch/VRVQ under the MIT licence (Copyright (c) 2025 yoongi43). Its
authors published no weights: under which licence these are, those know who trained them.
"""
"""What the card of an imported model says of where it comes from, and of its licence."""


def convert(tensors: dict[str, Tensor], config: Config) -> SoundStream:
    """The model of a training by the authors' code.

    Args:
        tensors: by the names of its files.
        config: the settings they were trained with, one of `VARIANTS`.
    Raises:
        ArtifactError: a tensor is missing, has another shape, or is of no use.
    """
    weights, model = Weights(tensors, [*_names(config), *dac.names(config)]), build(config)
    dac.fill_networks(model, weights)
    fill_factored(model.quantizer, weights, "quantizer.quantizers")
    weights.finish()
    return model.eval()


def _names(config: Config) -> Iterator[tuple[str, str]]:
    """Parts of the importance network's names in the authors' files, and what they are called here."""
    for i in range(len(config.importance_channels) + 1):
        theirs = f"blocks.{i - 1}" if i else "in_block"
        for j, layer in enumerate(("snake", "conv")):
            yield f"quantizer.imp_subnet.{theirs}.{j}.", f"encoder.{BRANCH}.{layer}{i}."
