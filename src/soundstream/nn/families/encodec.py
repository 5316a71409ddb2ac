"""EnCodec's models: SEANets with an LSTM each and residual codebooks of 1024 entries, causal or segment by segment.

    encoder: conv k7 -> 4 x [residual, ELU, strided conv, channels x 2] -> LSTM -> ELU -> conv k7 to latent_dim
    decoder: conv k7 -> LSTM -> 4 x [ELU, upsampling conv, channels / 2, residual] -> ELU -> conv k7 to the audio

That of 24 kHz is causal and mono. Convolutions see only the past, but that of the first samples is a reflection of
those that follow: the first frame depends on the first `START_FRAMES`. Whoever gives these in one chunk, and any whole
hops after them, gets what the whole signal gives; the rest of the last hop may be short and is completed by reflection,
layer by layer. Streams hold back so many frames for that (`CodecSpec.start_frames`). Live sessions hold back none: to
them the samples that have not come are zeros, which the LSTMs forget within some frames.

That of 48 kHz takes stereo in segments of a second, each by itself: convolutions see as much of the future as of the
past, and are normalized over the whole segment, whose loudness is a number beside its codes. The last segment may have
any length; the networks complete its last frame, as above.

Artifacts keep the weights as float32, so that codes are those of the original.

Source: EnCodec (Défossez et al., 2022), section 3.1 and 3.2. The weights that its authors published under the MIT
licence become a model by `convert`; fresh networks are trained as those of other families.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from soundstream.limits import Whole
from soundstream.nn.config import FamilyConfig
from soundstream.nn.graph import Graph
from soundstream.nn.layers.centred import CentredConv, CentredUpsample
from soundstream.nn.layers.conv import CausalConv, CausalUpsample, Elu
from soundstream.nn.layers.lstm import Lstm
from soundstream.nn.layers.reflected import ReflectedConv
from soundstream.nn.layers.scaling import Gain
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.quantize import ResidualVectorQuantizer
from soundstream.nn.streaming import Chain, State, StreamingModule
from soundstream.nn.weights import Weights, fill_conv, fill_upsample
from soundstream.spec import CodecSpec

KERNEL = 7
"""Of the first and the last convolution of each network."""
START_FRAMES = KERNEL
"""Frames that the first one depends on: the convolutions at the frame rate reflect six of them."""
RESIDUAL_KERNEL = 3
RESIDUAL_SCALE = 0.7
"""Weight of a fresh branch and of its shortcut: their sum keeps the variance."""
OUTPUT_SCALE = 0.1
"""Weight of the fresh last convolution: the first outputs are quiet."""
FADED_FRAMES = 150
"""Frames after which what an LSTM remembers is taken to have faded: two seconds."""


@dataclass(frozen=True)
class Config(FamilyConfig):
    """EnCodec's settings; the defaults are those of the published 24 kHz model."""

    EXACT: ClassVar[bool] = True

    num_quantizers: Annotated[int, Whole(1, 128)] = 32
    """Codebooks that exist; fewer may be used."""
    channels: Annotated[int, Whole(2, 1024)] = 32
    """Channels after the encoder's first convolution and before the decoder's last one; they double with each block."""
    strides: Annotated[tuple[int, ...], Whole(1, 64)] = (2, 4, 5, 8)
    """Down-sampling factor of each encoder block; the decoder mirrors them."""
    lstm_layers: Annotated[int, Whole(1, 8)] = 2
    """Layers of the LSTM of each network."""
    audio_channels: Annotated[int, Whole(1, 8)] = 1
    """Channels of the audio, which are coded together."""
    segment_samples: Annotated[int, Whole(0, 2**24)] = 0
    """Samples of a segment, which is normalized and coded by itself; 0 is the causal model."""
    overlap_samples: Annotated[int, Whole(0, 2**24)] = 0
    """Samples that neighbouring segments share."""

    @property
    def hop_length(self) -> int:
        return math.prod(self.strides)

    @property
    def widest(self) -> int:
        """Channels at the frame rate."""
        return self.channels * 2 ** len(self.strides)

    @property
    def side_numbers(self) -> int:
        """The gain of a segment."""
        return 1 if self.segment_samples else 0

    def spec(self) -> CodecSpec:
        spec = super().spec()
        if not self.segment_samples:
            return dataclasses.replace(spec, start_frames=START_FRAMES, memory_frames=FADED_FRAMES)
        return dataclasses.replace(spec, segment_samples=self.segment_samples, overlap_samples=self.overlap_samples)


class Layers(NamedTuple):
    """What a model is made of."""

    conv: Callable[..., CausalConv]
    """Whose ends are reflected."""
    pointwise: Callable[..., CausalConv]
    """Of kernel 1."""
    up: Callable[[int, int, int], StreamingModule]


CAUSAL = Layers(ReflectedConv, CausalConv, CausalUpsample)
CENTRED = Layers(CentredConv, CentredConv, CentredUpsample)


def layers_of(config: Config) -> Layers:
    """Those of a causal model, or of one of segments."""
    return CENTRED if config.segment_samples else CAUSAL


def build(config: Config) -> SoundStream:
    """Fresh networks."""
    gain = Gain() if config.segment_samples else None
    return SoundStream(config, Networks(encoder(config), decoder(config), gain=gain))


class Residual(StreamingModule):
    """shortcut(x) + conv1(elu(conv3(elu(x)))), with half the channels between; the shortcut is linear."""

    def __init__(self, channels: int, make: Layers) -> None:
        super().__init__()
        self.branch = Chain(
            elu0=Elu(),
            conv0=make.conv(channels, channels // 2, kernel=RESIDUAL_KERNEL),
            elu1=Elu(),
            conv1=make.pointwise(channels // 2, channels, kernel=1, scale=RESIDUAL_SCALE),
        )
        self.shortcut = make.pointwise(channels, channels, kernel=1, scale=RESIDUAL_SCALE)

    def init_state(self, batch: int) -> State:
        return self.branch.init_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.branch.step(x, state)
        return self.shortcut(x) + y, state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        parts = [self.shortcut.onnx(graph, f"{name}.shortcut", x), self.branch.onnx(graph, name, x)]
        return graph.node("Add", parts, f"{name}.sum")


def encoder(config: Config) -> Chain:
    """Audio `[batch, audio_channels, 1, samples]` to latents `[batch, latent_dim, 1, frames]`, of all samples."""
    make, channels = layers_of(config), config.channels
    layers: dict[str, StreamingModule] = {"first": make.conv(config.audio_channels, channels, kernel=KERNEL)}
    for i, stride in enumerate(config.strides):
        down = make.conv(channels, 2 * channels, kernel=2 * stride, stride=stride)
        layers[f"block{i}"] = Chain(residual=Residual(channels, make), elu=Elu(), down=down)
        channels *= 2
    last = make.conv(channels, config.latent_dim, kernel=KERNEL)
    return Chain(**layers, lstm=Lstm(channels, config.lstm_layers), elu=Elu(), last=last)


def decoder(config: Config) -> Chain:
    """Latents `[batch, latent_dim, 1, frames]` to audio `[batch, audio_channels, 1, samples]`."""
    make, channels = layers_of(config), config.widest
    layers: dict[str, StreamingModule] = {
        "first": make.conv(config.latent_dim, channels, kernel=KERNEL),
        "lstm": Lstm(channels, config.lstm_layers),
    }
    for i, stride in enumerate(reversed(config.strides)):
        up = make.up(channels, channels // 2, stride)
        channels //= 2
        layers[f"block{i}"] = Chain(elu=Elu(), up=up, residual=Residual(channels, make))
    last = make.conv(channels, config.audio_channels, kernel=KERNEL, scale=OUTPUT_SCALE)
    return Chain(**layers, elu=Elu(), last=last)


VARIANTS = {
    "24khz": Config(),
    "48khz": Config(
        sample_rate=48_000, num_quantizers=16, audio_channels=2, segment_samples=48_000, overlap_samples=480
    ),
}
"""Settings of the published models, by their names."""
CARD = """\
EnCodec of Défossez, Copet, Synnaeve and Adi, *High Fidelity Neural Audio Compression*, 2022 (arXiv:2210.13438). Code
and weights are published by facebookresearch/encodec under the MIT licence (Copyright (c) Meta Platforms, Inc. and
affiliates), which holds for this folder too. None of them comes with this package.
"""
"""What the card of an imported model says of where it comes from, and of its licence."""
_NAMES = (
    (".conv.conv.", ".conv."),
    (".convtr.convtr.", ".conv."),
    (".conv.norm.", ".norm."),
    (".convtr.norm.", ".norm."),
    ("coder.model.", "coder.layers."),
    ("quantizer.vq.layers.", "quantizer.layers."),
    ("._codebook.", ".codebook."),
    (".parametrizations.weight.original0", ".weight_g"),
    (".parametrizations.weight.original1", ".weight_v"),
)
"""Parts of names in the authors' files and in those of `transformers`, and what they are called here."""


def convert(tensors: dict[str, Tensor], config: Config) -> SoundStream:
    """The model of published weights.

    Args:
        tensors: by the names of the authors' files, or of `transformers`.
        config: the settings they were trained with, one of `VARIANTS`.
    Raises:
        ArtifactError: a tensor is missing, has another shape, or is of no use.
    """
    weights = Weights(tensors, _NAMES)
    model = build(config)
    with torch.no_grad():
        _fill_encoder(model.encoder, weights, config)
        _fill_decoder(model.decoder, weights, config)
        _fill_codebooks(model.quantizer, weights)
    weights.finish()
    return model.eval()


def _fill_codebooks(quantizer: ResidualVectorQuantizer, weights: Weights) -> None:
    """Entries, and the sums and counts of the vectors that they follow in training."""
    parts = {"embed": quantizer.codebooks, "embed_avg": quantizer.sums, "cluster_size": quantizer.usage}
    for i in range(len(quantizer.codebooks)):
        name = f"quantizer.layers.{i}.codebook"
        for key, stack in parts.items():
            stack[i] = weights.take(f"{name}.{key}", stack[i].shape)
        weights.drop(f"{name}.inited")


def _fill_encoder(network: Chain, weights: Weights, config: Config) -> None:
    """The layers in the order of the original, which counts ELUs as layers too."""
    count, name = 3 * len(config.strides), "encoder.layers"
    _fill_conv(network.get_submodule("first"), weights, f"{name}.0")
    for i in range(len(config.strides)):
        _fill_residual(network.get_submodule(f"block{i}.residual"), weights, f"{name}.{3 * i + 1}")
        _fill_conv(network.get_submodule(f"block{i}.down"), weights, f"{name}.{3 * i + 3}")
    _fill_lstm(network.get_submodule("lstm"), weights, f"{name}.{count + 1}")
    _fill_conv(network.get_submodule("last"), weights, f"{name}.{count + 3}")


def _fill_decoder(network: Chain, weights: Weights, config: Config) -> None:
    count, name = 3 * len(config.strides), "decoder.layers"
    _fill_conv(network.get_submodule("first"), weights, f"{name}.0")
    _fill_lstm(network.get_submodule("lstm"), weights, f"{name}.1")
    for i in range(len(config.strides)):
        _fill_upsample(network.get_submodule(f"block{i}.up"), weights, f"{name}.{3 * i + 3}")
        _fill_residual(network.get_submodule(f"block{i}.residual"), weights, f"{name}.{3 * i + 4}")
    _fill_conv(network.get_submodule("last"), weights, f"{name}.{count + 3}")


def _fill_residual(unit: nn.Module, weights: Weights, name: str) -> None:
    for part, place in (("branch.conv0", "block.1"), ("branch.conv1", "block.3"), ("shortcut", "shortcut")):
        _fill_conv(unit.get_submodule(part), weights, f"{name}.{place}")


def _fill_conv(conv: nn.Module, weights: Weights, name: str) -> None:
    assert isinstance(conv, CausalConv)
    fill_conv(conv, weights, f"{name}.conv")
    _fill_norm(conv, weights, name)


def _fill_upsample(layer: nn.Module, weights: Weights, name: str) -> None:
    assert isinstance(layer, CausalUpsample | CentredUpsample)
    fill_upsample(layer.conv, layer.stride, weights, f"{name}.conv")
    _fill_norm(layer, weights, name)


def _fill_norm(layer: nn.Module, weights: Weights, name: str) -> None:
    """The norm behind a convolution, of a layer that has one."""
    if isinstance(layer, CentredConv | CentredUpsample):
        for key, parameter in layer.norm.named_parameters():
            parameter.copy_(weights.take(f"{name}.norm.{key}", parameter.shape))


def _fill_lstm(layer: nn.Module, weights: Weights, name: str) -> None:
    assert isinstance(layer, Lstm)
    for key, parameter in layer.lstm.named_parameters():
        parameter.copy_(weights.take(f"{name}.lstm.{key}", parameter.shape))
