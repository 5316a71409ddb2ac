"""DualCodec's models: a first codebook of what is said, DAC's networks for the rest, 12.5 or 25 frames a second.

    encoder:  features of a model of speech -> conv k1 -> 4 ConvNeXt blocks -> conv k1 -> nearest entry ─┐
              sound -> DAC's encoder -> less what the semantic network makes of the entry ───────────────┴─ latents
    semantic: entry -> conv k1 -> 4 ConvNeXt blocks -> conv k1
    decoder:  what the semantic network makes of the entry, plus the acoustic entries -> DAC's decoder

The first channels of the latents are the numbers of a semantic entry, which the first codebook codes, as they are; the
others are the acoustic half's, which all others code. So the semantic entry is found by a network, before the quantizer
finds it again, and the acoustic half is what it leaves over.

Features come from w2v-BERT 2.0, which is not part of the codec: who codes sound gives them (`spec.features`). To decode
takes none of it. ConvNeXt blocks see the past alone; DAC's networks see as far ahead as back, and streams take chunks.

Artifacts keep the weights as float32, so that codes are those of the original.

In training the first channels are what the entry is found for, so that the first codebook follows them as the others
do; gradients pass straight through the entry. What parts the two halves stays as it is.

Source: DualCodec (Li et al., 2025), section 3. Weights in the form that its authors published become a model by
`convert`. Differs: fresh networks learn by what is decoded alone, without a loss of the features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from soundstream.limits import Whole
from soundstream.nn.config import FamilyConfig, QuantizerForm
from soundstream.nn.families import dac
from soundstream.nn.graph import LAST, Graph
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.convnext import ConvNeXtBlock, blocks
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.quantize import ResidualVectorQuantizer
from soundstream.nn.streaming import Chain, State, StreamingModule
from soundstream.nn.weights import Weights, fill_conv
from soundstream.spec import CodecSpec, Features

KERNEL = 7
"""Frames that a ConvNeXt block sees, the last of them its own."""
NORM_FLOOR = 1e-6
SEMANTIC, ACOUSTIC = "semantic", "acoustic"


@dataclass(frozen=True)
class Config(FamilyConfig):
    """DualCodec's settings; the defaults are those of the published model of 12.5 frames a second."""

    EXACT: ClassVar[bool] = True

    latent_dim: Annotated[int, Whole(2, 4096)] = 1032
    """Channels of the latents: first `codebook_dim` of a semantic entry, then those of DAC's networks."""
    num_quantizers: Annotated[int, Whole(2, 128)] = 8
    """Codebooks that exist, the semantic one among them; fewer may be used."""
    codebook_size: Annotated[int, Whole(2, 65_536)] = 16_384
    """Entries of the semantic codebook."""
    acoustic_size: Annotated[int, Whole(2, 65_536)] = 4096
    """Entries of each of the others, at most as many."""
    codebook_dim: Annotated[int, Whole(1, 2048)] = 8
    """Numbers of a codebook entry, which is compared by its direction."""
    encoder_channels: Annotated[int, Whole(1, 1024)] = 32
    """Channels after the encoder's first convolution; they double with each block."""
    decoder_channels: Annotated[int, Whole(1, 8192)] = 1536
    """Channels after the decoder's first convolution; they halve with each block."""
    strides: Annotated[tuple[int, ...], Whole(1, 64)] = (4, 5, 6, 8, 2)
    """Down-sampling factor of each encoder block; the decoder mirrors them."""
    feature_channels: Annotated[int, Whole(1, 65_536)] = 1024
    """Numbers of a frame of the features."""
    semantic_channels: Annotated[int, Whole(1, 4096)] = 768
    """Of the ConvNeXt blocks."""
    semantic_blocks: Annotated[int, Whole(1, 64)] = 4
    """ConvNeXt blocks on either side of the semantic codebook."""
    feedforward: Annotated[int, Whole(1, 16_384)] = 2048
    """Channels between the linear layers of a ConvNeXt block."""

    @property
    def acoustic(self) -> dac.Config:
        """The settings of DAC's networks."""
        return dac.Config(
            sample_rate=self.sample_rate,
            latent_dim=self.latent_dim - self.codebook_dim,
            encoder_channels=self.encoder_channels,
            decoder_channels=self.decoder_channels,
            strides=self.strides,
        )

    @property
    def hop_length(self) -> int:
        return self.acoustic.hop_length

    @property
    def quantizer(self) -> QuantizerForm:
        others = self.num_quantizers - 1
        return QuantizerForm(
            width=self.codebook_dim,
            cosine=True,
            sizes=(self.codebook_size, *[self.acoustic_size] * others),
            groups=(SEMANTIC, *[ACOUSTIC] * others),
        )

    @property
    def encoder_features(self) -> Features:
        pooled = self.hop_length * 50 // self.sample_rate
        return Features(
            self.feature_channels,
            "hidden state 17 of w2v-BERT 2.0 at 50 Hz, normalized by its published mean and variance, the mean of "
            f"every {pooled}",
        )

    @property
    def semantic_memory(self) -> int:
        """Frames before one that the semantic network sees."""
        return self.semantic_blocks * (KERNEL - 1)

    def spec(self) -> CodecSpec:
        return dataclasses.replace(super().spec(), context_frames=self.acoustic.context_frames + self.semantic_memory)


class NearestEntry(StreamingModule):
    """Vectors `[batch, width, 1, frames]` to the entries of a codebook whose directions are nearest to theirs.

    It is the first one of the quantizer that `follow` names. In training gradients pass straight through.
    """

    def __init__(self) -> None:
        super().__init__()
        self._quantizer: tuple[ResidualVectorQuantizer, ...] = ()

    def follow(self, quantizer: ResidualVectorQuantizer) -> None:
        """Take entries from there, wherever they move; the quantizer is no part of this module."""
        self._quantizer = (quantizer,)

    @property
    def entries(self) -> Tensor:
        """`[codebook_size, width]`."""
        return self._quantizer[0].codebooks[0]

    @property
    def directions(self) -> Tensor:
        """Entries of length 1."""
        return nn.functional.normalize(self.entries, dim=-1)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        nearest = (x.transpose(1, 3).float() @ self.directions.T).argmax(-1)
        entry = self.entries[nearest].transpose(1, 3)
        return x + (entry - x).detach() if self.training else entry, state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        directions = graph.constant(f"{name}.directions", self.directions.T)
        cosines = graph.node("MatMul", [graph.channels_last(x, f"{name}.last"), directions], f"{name}.cosines")
        nearest = graph.node("ArgMax", [cosines], f"{name}.nearest", axis=3, keepdims=0)
        found = graph.node(
            "Gather", [graph.constant(f"{name}.entries", self.entries), nearest], f"{name}.found", axis=0
        )
        return graph.channels_first(found, name)


class Less(StreamingModule):
    """A vector to what is added to the latents: its nearest entry, and what a network makes of that, negative.

    In training the vector itself stands in the place of the entry, which the quantizer is still to find.
    """

    def __init__(self, nearest: NearestEntry, network: Chain) -> None:
        super().__init__()
        self.nearest, self.network = nearest, network

    def init_state(self, batch: int) -> State:
        return self.network.init_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        entry = self.nearest(x)
        made, state = self.network.step(entry, state)
        return torch.cat([x if self.training else entry, -made], dim=1), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        entry = self.nearest.onnx(graph, "nearest", x)
        made = graph.node("Neg", [self.network.onnx(graph, name, entry)], f"{name}.less")
        return graph.node("Concat", [entry, made], f"{name}.both", axis=1)


class Plus(StreamingModule):
    """Latents to what DAC's decoder takes: what a network makes of the first channels, plus the others."""

    def __init__(self, network: Chain, width: int) -> None:
        super().__init__()
        self.network, self.width = network, width

    def init_state(self, batch: int) -> State:
        return self.network.init_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        made, state = self.network.step(x[:, : self.width], state)
        return made + x[:, self.width :], state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        entry = graph.slice(x, f"{name}.entry", start=0, end=self.width, axis=1)
        others = graph.slice(x, f"{name}.others", start=self.width, end=LAST, axis=1)
        return graph.node("Add", [self.network.onnx(graph, name, entry), others], f"{name}.sum")


class ZerosBefore(StreamingModule):
    """Channels of zeros before those of `[batch, channels, 1, time]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return nn.functional.pad(x, (0, 0, 0, 0, self.channels, 0)), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return graph.node("Pad", [x, graph.constant(f"{name}.sizes", [0, self.channels, 0, 0, 0, 0, 0, 0])], name)


def build(config: Config) -> SoundStream:
    """Fresh networks."""
    semantic, width = semantic_network(config), config.codebook_dim
    encoder = Chain(**dict(dac.encoder(config.acoustic).layers()), zeros=ZerosBefore(width))
    decoder = Chain(plus=Plus(semantic, width), **dict(dac.decoder(config.acoustic).layers()))
    nearest = NearestEntry()
    features = Chain(**dict(feature_network(config).layers()), less=Less(nearest, semantic))
    model = SoundStream(config, Networks(encoder, decoder, features=features))
    nearest.follow(model.quantizer)
    _part(model.quantizer, width)
    _keep_parted(model, width)
    return model


@torch.no_grad()
def _part(quantizer: ResidualVectorQuantizer, width: int) -> None:
    """Let the first codebook see and fill the first channels alone, as they are, and the others the rest."""
    for kernels in (quantizer.project_in, quantizer.project_out.transpose(1, 2)):
        kernels[0] = torch.eye(*kernels.shape[1:])
        kernels[1:, :, :width] = 0


def _keep_parted(model: SoundStream, width: int) -> None:
    """Let what parts the two halves have no gradient: it stays as it is, but for a decay of weights."""
    quantizer = model.quantizer
    others = torch.ones(len(quantizer.codebooks), model.config.latent_dim)
    others[0], others[:, :width] = 0, 0
    masks = {
        quantizer.project_in: others[:, None],
        quantizer.project_out: others[..., None],
        quantizer.bias_in: others[:, -1:],
        quantizer.bias_out: others,
        model.film.beta: others[-1][:, None],
    }
    for parameter, mask in masks.items():
        parameter.register_hook(partial(_masked, mask))  # type: ignore[no-untyped-call]


def _masked(mask: Tensor, gradient: Tensor) -> Tensor:
    return gradient * mask.to(gradient)


def feature_network(config: Config) -> Chain:
    """Features `[batch, feature_channels, 1, frames]` to what the semantic codebook codes, `codebook_dim` channels."""
    channels = config.semantic_channels
    first = CausalConv(config.feature_channels, channels, kernel=1)
    return Chain(first=first, **_blocks(config), last=CausalConv(channels, config.codebook_dim, kernel=1))


def semantic_network(config: Config) -> Chain:
    """Semantic entries `[batch, codebook_dim, 1, frames]` to their part of what DAC's decoder takes."""
    channels = config.semantic_channels
    first = CausalConv(config.codebook_dim, channels, kernel=1)
    return Chain(first=first, **_blocks(config), last=CausalConv(channels, config.acoustic.latent_dim, kernel=1))


def _blocks(config: Config) -> dict[str, StreamingModule]:
    sizes = config.semantic_blocks, config.semantic_channels, KERNEL
    return blocks(*sizes, inner=config.feedforward, floor=NORM_FLOOR)


VARIANTS = {
    "12hz_v1": Config(),
    "25hz_v1": Config(num_quantizers=12, acoustic_size=1024, encoder_channels=64, strides=(4, 5, 6, 8)),
}
"""Settings of the published models, by their names."""
CARD = """\
DualCodec of Li et al., *DualCodec: A Low-Frame-Rate, Semantically-Enhanced Neural
Audio Codec for Speech Generation*, 2025 (arXiv:2505.13000). Code is published by jiaqili3/DualCodec under the MIT
licence. Under which one the weights are, which Amphion publishes, does not stand beside the code: ask their authors
before you pass this folder on. None of them comes with this package, nor does w2v-BERT 2.0.
"""
"""What the card of an imported model says of where it comes from, and of its licence."""


def convert(tensors: dict[str, Tensor], config: Config) -> SoundStream:
    """The model of published weights.

    Args:
        tensors: by the names of the authors' files.
        config: the settings they were trained with, one of `VARIANTS`.
    Raises:
        ArtifactError: a tensor is missing, has another shape, or is of no use.
    """
    weights, model = Weights(tensors, [*_names(config), *dac.names(config.acoustic)]), build(config)
    dac.fill_networks(model, weights)
    for name in ("features", "features.less.network"):
        _fill_semantic(model.get_submodule(name), weights, name)
    _fill_codebooks(model.quantizer, weights, config.codebook_dim)
    weights.finish()
    return model.eval()


def _names(config: Config) -> Iterator[tuple[str, str]]:
    """Parts of names in the authors' files, and what they are called here; those of DAC's layers are as DAC's."""
    yield "dac.", ""
    yield "convnext_encoder.0.", "features.first."
    for i in range(config.semantic_blocks):
        yield f"convnext_encoder.{i + 1}.", f"features.block{i}."
        yield f"convnext_decoder.{i}.", f"features.less.network.block{i}."
    yield f"convnext_decoder.{config.semantic_blocks}.", "features.less.network.last."
    yield f"{_CODEBOOK}in_proj.", "features.last."
    yield f"{_CODEBOOK}out_proj.", "features.less.network.first."


_CODEBOOK = "semantic_vq.quantizers.0."


@torch.no_grad()
def _fill_semantic(network: nn.Module, weights: Weights, name: str) -> None:
    """A ConvNeXt network between its two convolutions."""
    for part, layer in network.named_children():
        if isinstance(layer, CausalConv):
            fill_conv(layer, weights, f"{name}.{part}")
        elif isinstance(layer, ConvNeXtBlock):
            fill_conv(layer.depthwise, weights, f"{name}.{part}.dwconv")
            for key, inner in (("norm", layer.norm), ("pwconv1", layer.expand), ("pwconv2", layer.shrink)):
                for kind, parameter in inner.named_parameters():
                    parameter.copy_(weights.take(f"{name}.{part}.{key}.{kind}", parameter.shape))


@torch.no_grad()
def _fill_codebooks(quantizer: ResidualVectorQuantizer, weights: Weights, width: int) -> None:
    """Entries of all codebooks, and projections of the acoustic ones, to and from the channels behind the first."""
    quantizer.codebooks.zero_()
    for q, (entries, size) in enumerate(zip(quantizer.codebooks, quantizer.sizes, strict=True)):
        name = f"quantizer.quantizers.{q - 1}." if q else _CODEBOOK
        entries[:size] = weights.take(f"{name}codebook.weight", (size, width))
        if q:
            into, out = quantizer.project_in[q, :, width:], quantizer.project_out[q, width:]
            for part, kernel, bias in (
                ("in_proj", into, quantizer.bias_in[q]),
                ("out_proj", out, quantizer.bias_out[q, width:]),
            ):
                kernel.copy_(weights.take_normalized(f"{name}{part}.weight", (*kernel.shape, 1))[..., 0])
                bias.copy_(weights.take(f"{name}{part}.bias", bias.shape))
    quantizer.sums.copy_(quantizer.codebooks * quantizer.usage[..., None])
