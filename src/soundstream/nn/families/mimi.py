"""Mimi's networks: causal, 12.5 frames a second, a transformer on either side of the quantizer, split codebooks.

    encoder: conv k7 -> 4 x [residual, ELU, strided conv, channels x 2] -> ELU -> conv k3 -> transformer -> half rate
    decoder: twice rate -> transformer -> conv k7 -> 4 x [ELU, upsampling, residual, channels / 2] -> ELU -> conv k3

The first codebook, trained to hold what is said, and all others quantize the same latents, each group in a space of its
own; what they make is added. A frame of the transformers sees the 250 of 25 a second up to itself, through eight
layers: what is older than one window is taken to have faded when decoding begins in the middle.

Artifacts keep the weights as float32, so that codes are those of the original.

Source: Moshi (Défossez et al., 2024), section 3.3. The weights that its authors published under CC-BY 4.0 become a
model by `convert`. Fresh networks train as those of other families: the first codebook is not distilled.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from soundstream.errors import ConfigError
from soundstream.limits import Whole
from soundstream.nn.config import FamilyConfig, QuantizerForm
from soundstream.nn.graph import Graph
from soundstream.nn.layers.conv import CausalConv, CausalUpsample, Elu, HeldConv
from soundstream.nn.layers.transformer import CausalTransformer, Layer
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.quantize import ResidualVectorQuantizer
from soundstream.nn.streaming import Chain, State, StreamingModule
from soundstream.nn.weights import Weights, fill_conv, fill_upsample
from soundstream.spec import CodecSpec

KERNEL, LAST_KERNEL, RESIDUAL_KERNEL = 7, 3, 3
HALVING = 2
"""Frames of the transformers in one of the codec."""
RESIDUAL_SCALE = 0.7
OUTPUT_SCALE = 0.1
"""Weight of the fresh last convolution: the first outputs are quiet."""
SEMANTIC, ACOUSTIC = "semantic", "acoustic"
LEAST_USAGE = 1e-5


@dataclass(frozen=True)
class Config(FamilyConfig):
    """Mimi's settings; the defaults are those of the published model."""

    EXACT: ClassVar[bool] = True

    latent_dim: Annotated[int, Whole(1, 4096)] = 512
    """Channels of the latents, and of the transformers."""
    num_quantizers: Annotated[int, Whole(2, 128)] = 32
    """Codebooks that exist, the semantic one among them; fewer may be used."""
    codebook_size: Annotated[int, Whole(2, 65_536)] = 2048
    codebook_dim: Annotated[int, Whole(1, 4096)] = 256
    """Numbers of a codebook entry; each group projects the latents to so many, and back."""
    channels: Annotated[int, Whole(2, 1024)] = 64
    """Channels after the encoder's first convolution and before the decoder's last one; they double with each block."""
    strides: Annotated[tuple[int, ...], Whole(1, 64)] = (4, 5, 6, 8)
    """Down-sampling factor of each encoder block; the decoder mirrors them, and half a rate more comes behind."""
    transformer_layers: Annotated[int, Whole(1, 64)] = 8
    """Of each network."""
    heads: Annotated[int, Whole(1, 64)] = 8
    """Of attention; each has an even part of the channels."""
    feedforward: Annotated[int, Whole(1, 16_384)] = 2048
    """Channels between the linear layers of a transformer layer."""
    window: Annotated[int, Whole(2, 4096)] = 250
    """Frames of the transformers that one sees."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent_dim % (2 * self.heads):
            raise ConfigError(f"latent_dim is {self.latent_dim}; expected an even part for each of {self.heads} heads")
        if self.film != "encoder":
            raise ConfigError(f"film is {self.film}; expected encoder, whose last layer takes the normalizer in")

    @property
    def hop_length(self) -> int:
        return math.prod(self.strides) * HALVING

    @property
    def widest(self) -> int:
        """Channels before the encoder's last convolution."""
        return self.channels * 2 ** len(self.strides)

    @property
    def quantizer(self) -> QuantizerForm:
        return QuantizerForm(groups=(SEMANTIC, *[ACOUSTIC] * (self.num_quantizers - 1)), group_width=self.codebook_dim)

    def spec(self) -> CodecSpec:
        return dataclasses.replace(super().spec(), memory_frames=self.window // HALVING)


def build(config: Config) -> SoundStream:
    """Fresh networks."""
    return SoundStream(config, Networks(encoder(config), decoder(config)))


class Residual(StreamingModule):
    """x + conv1(elu(conv3(elu(x)))), with half the channels between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = Chain(
            elu0=Elu(),
            conv0=CausalConv(channels, channels // 2, RESIDUAL_KERNEL),
            elu1=Elu(),
            conv1=CausalConv(channels // 2, channels, kernel=1, scale=RESIDUAL_SCALE),
        )

    def init_state(self, batch: int) -> State:
        return self.branch.init_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.branch.step(x, state)
        return x + y, state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        return graph.node("Add", [x, self.branch.onnx(graph, name, x)], f"{name}.sum")


def encoder(config: Config) -> Chain:
    """Audio `[batch, 1, 1, samples]`, of whole hops, to latents `[batch, latent_dim, 1, frames]`."""
    channels, dim = config.channels, config.latent_dim
    layers: dict[str, StreamingModule] = {"first": CausalConv(1, channels, KERNEL)}
    for i, stride in enumerate(config.strides):
        down = CausalConv(channels, 2 * channels, kernel=2 * stride, stride=stride)
        layers[f"block{i}"] = Chain(residual=Residual(channels), elu=Elu(), down=down)
        channels *= 2
    layers |= {"elu": Elu(), "last": CausalConv(channels, dim, LAST_KERNEL), "transformer": transformer(config)}
    return Chain(**layers, slower=HeldConv(dim, dim, kernel=2 * HALVING, stride=HALVING))


def decoder(config: Config) -> Chain:
    """Latents `[batch, latent_dim, 1, frames]` to audio `[batch, 1, 1, samples]`."""
    channels, dim = config.widest, config.latent_dim
    layers: dict[str, StreamingModule] = {
        "faster": CausalUpsample(dim, dim, HALVING, groups=dim),
        "transformer": transformer(config),
        "first": CausalConv(dim, channels, KERNEL),
    }
    for i, stride in enumerate(reversed(config.strides)):
        up = CausalUpsample(channels, channels // 2, stride)
        channels //= 2
        layers[f"block{i}"] = Chain(elu=Elu(), up=up, residual=Residual(channels))
    return Chain(**layers, elu=Elu(), last=CausalConv(channels, 1, LAST_KERNEL, scale=OUTPUT_SCALE))


def transformer(config: Config) -> CausalTransformer:
    """That of either network."""
    sizes = config.latent_dim, config.transformer_layers, config.heads, config.feedforward, config.window
    return CausalTransformer(*sizes)


VARIANTS = {"24khz": Config()}
"""Settings of the published model, by its name."""
CARD = """\
Mimi of Défossez, Mazaré, Orsini, Royer, Pérez, Jégou, Grave and Zeghidour, *Moshi: a speech-text foundation model for
real-time dialogue*, 2024 (arXiv:2410.00037). Code is published by kyutai-labs/moshi under the MIT licence, the weights
by Kyutai under CC-BY 4.0, which holds for this folder too. None of them comes with this package.
"""
"""What the card of an imported model says of where it comes from, and of its licence."""
_NAMES = (
    ("encoder.encoder_seanet.", "encoder."),
    ("decoder.decoder_seanet.", "decoder."),
    ("encoder.encoder_transformer.", "encoder_transformer."),
    ("decoder.decoder_transformer.", "decoder_transformer."),
    ("encoder.downsample.", "downsample."),
    ("decoder.upsample.", "upsample."),
    ("coder.model.", "coder.layers."),
    (".convtr.convtr.convtr.", ".conv."),
    (".convtr.convtr.", ".conv."),
    (".conv.conv.conv.", ".conv."),
    (".conv.conv.", ".conv."),
    ("_transformer.transformer.", "_transformer."),
    (".self_attn.out_projs.0.", ".self_attn.o_proj."),
    (".norm1.", ".input_layernorm."),
    (".norm2.", ".post_attention_layernorm."),
    (".linear1.", ".mlp.fc1."),
    (".linear2.", ".mlp.fc2."),
    (".layer_scale_1.", ".self_attn_layer_scale."),
    (".layer_scale_2.", ".mlp_layer_scale."),
    (".rvq_first.", f".{SEMANTIC}_residual_vector_quantizer."),
    (".rvq_rest.", f".{ACOUSTIC}_residual_vector_quantizer."),
    (".vq.layers.", ".layers."),
    ("._codebook.", ".codebook."),
    (".codebook._initialized", ".codebook.initialized"),
    (".codebook.inited", ".codebook.initialized"),
    (".codebook.embedding_sum", ".codebook.embed_sum"),
    (".codebook.cluster_size", ".codebook.cluster_usage"),
)
"""Parts of names in the authors' files and in those of `transformers`, and what they are called here."""
_TOGETHER = "in_projs.0.weight"
"""Queries, keys and values in the authors' files, whose heads have pairs side by side."""


def convert(tensors: dict[str, Tensor], config: Config) -> SoundStream:
    """The model of published weights.

    Args:
        tensors: by the names of the authors' files, or of `transformers`.
        config: the settings they were trained with, one of `VARIANTS`.
    Raises:
        ArtifactError: a tensor is missing, has another shape, or is of no use.
    """
    weights, model = Weights(tensors, _NAMES), build(config)
    together = any(_TOGETHER in name for name in tensors)
    with torch.no_grad():
        _fill_ends(model, weights, config)
        for side in ("encoder", "decoder"):
            _fill_transformer(model.get_submodule(f"{side}.transformer"), weights, f"{side}_transformer", together)
        _fill_quantizer(model.quantizer, weights)
    weights.finish()
    return model.eval()


def _fill_ends(model: SoundStream, weights: Weights, config: Config) -> None:
    """Convolutions in the order of the original, which counts ELUs as layers too."""
    count = len(config.strides)
    _conv(model, "encoder.first", weights, "encoder.layers.0")
    _conv(model, "encoder.last", weights, f"encoder.layers.{3 * count + 2}")
    _conv(model, "decoder.first", weights, "decoder.layers.0")
    _conv(model, "decoder.last", weights, f"decoder.layers.{3 * count + 2}")
    for i in range(count):
        _residual(model, f"encoder.block{i}", weights, f"encoder.layers.{3 * i + 1}")
        _conv(model, f"encoder.block{i}.down", weights, f"encoder.layers.{3 * i + 3}")
        _upsample(model, f"decoder.block{i}.up", weights, f"decoder.layers.{3 * i + 2}")
        _residual(model, f"decoder.block{i}", weights, f"decoder.layers.{3 * i + 3}")
    _conv(model, "encoder.slower", weights, "downsample", bias=False)
    _upsample(model, "decoder.faster", weights, "upsample", bias=False)


def _residual(model: SoundStream, ours: str, weights: Weights, theirs: str) -> None:
    for part, place in (("conv0", 1), ("conv1", 3)):
        _conv(model, f"{ours}.residual.branch.{part}", weights, f"{theirs}.block.{place}")


def _conv(model: SoundStream, ours: str, weights: Weights, theirs: str, bias: bool = True) -> None:
    layer = model.get_submodule(ours)
    assert isinstance(layer, CausalConv)
    fill_conv(layer, weights, f"{theirs}.conv", bias)


def _upsample(model: SoundStream, ours: str, weights: Weights, theirs: str, bias: bool = True) -> None:
    layer = model.get_submodule(ours)
    assert isinstance(layer, CausalUpsample)
    fill_upsample(layer.conv, layer.stride, weights, f"{theirs}.conv", bias)


def _fill_transformer(module: nn.Module, weights: Weights, name: str, together: bool) -> None:
    assert isinstance(module, CausalTransformer)
    for i, layer in enumerate(module.layers):
        assert isinstance(layer, Layer)
        place = f"{name}.layers.{i}"
        layer.qkv.weight.copy_(_projections(weights, f"{place}.self_attn", module, together))
        layer.out.weight.copy_(weights.take(f"{place}.self_attn.o_proj.weight", layer.out.weight.shape))
        layer.expand.weight.copy_(weights.take(f"{place}.mlp.fc1.weight", layer.expand.weight.shape))
        layer.shrink.weight.copy_(weights.take(f"{place}.mlp.fc2.weight", layer.shrink.weight.shape))
        for norm, key in ((layer.norm1, "input_layernorm"), (layer.norm2, "post_attention_layernorm")):
            for part, parameter in norm.named_parameters():
                parameter.copy_(weights.take(f"{place}.{key}.{part}", parameter.shape))
        for scale, key in ((layer.scale1, "self_attn_layer_scale"), (layer.scale2, "mlp_layer_scale")):
            scale.copy_(weights.take(f"{place}.{key}.scale", scale.shape))


def _projections(weights: Weights, name: str, module: CausalTransformer, together: bool) -> Tensor:
    """Queries, keys and values one behind the other; the halves of a head are its pairs."""
    dim = module.channels
    if not together:
        return torch.cat([weights.take(f"{name}.{part}_proj.weight", (dim, dim)) for part in "qkv"])
    queries, keys, values = weights.take(f"{name}.{_TOGETHER}", (3 * dim, dim)).chunk(3)
    turned = (rows.view(module.heads, -1, 2, dim).transpose(1, 2) for rows in (queries, keys))
    return torch.cat([*(rows.flatten(0, 2) for rows in turned), values])


def _fill_quantizer(quantizer: ResidualVectorQuantizer, weights: Weights) -> None:
    """Projections, sums and counts of each group; entries are sums by counts."""
    for group, (kind, books) in enumerate(zip((SEMANTIC, ACOUSTIC), quantizer.groups, strict=True)):
        name = f"quantizer.{kind}_residual_vector_quantizer"
        for part, kernel in (("input_proj", quantizer.group_in), ("output_proj", quantizer.group_out)):
            kernel[group] = weights.take(f"{name}.{part}.weight", (*kernel[group].shape, 1))[..., 0]
        for i, q in enumerate(books):
            place = f"{name}.layers.{i}.codebook"
            quantizer.usage[q] = weights.take(f"{place}.cluster_usage", quantizer.usage[q].shape)
            quantizer.sums[q] = weights.take(f"{place}.embed_sum", quantizer.sums[q].shape)
            weights.drop(f"{place}.initialized")
    quantizer.codebooks.copy_(quantizer.sums / quantizer.usage.clamp(min=LEAST_USAGE)[..., None])
