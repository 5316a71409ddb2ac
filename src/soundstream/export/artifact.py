"""Writes the artifact: encoder and decoder as ONNX graphs with explicit state, codebooks, config and model id.

The graphs are built node by node from the layers' own weights: 2-D convolutions only, each state tensor an input under
the name that `init_state` gives it and an output under that name with `.next` behind it.
"""

from __future__ import annotations

import copy
import dataclasses
import io
import json
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from soundstream.config import CodecConfig
from soundstream.errors import ConfigError
from soundstream.export.costs import macs_per_frame, memory_frames
from soundstream.export.int8 import with_int8_products
from soundstream.nn.conv import CausalConv, CausalUpsample, Elu
from soundstream.nn.convnext import ConvNeXtBlock
from soundstream.nn.denoiser import Magnitudes, Sigmoid
from soundstream.nn.families.seanet import ResidualUnit
from soundstream.nn.families.spectral import ENERGY_FLOOR, LOUDEST, Decoder, Features, Noise, NoisyOutput
from soundstream.nn.film import FiLM
from soundstream.nn.model import SoundStream
from soundstream.nn.streaming import Chain, StreamingModule
from soundstream.runtime.artifact import DENOISER_FILE, FILES, MACS_PROPERTY, OPTIONAL_FILES, write_manifest

OPSET = 20
CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
"""`[batch, channels, 1, time]` to `[batch, 1, time, channels]` and back."""
LAST = np.iinfo(np.int64).max


def export(model: SoundStream, folder: Path, *, int8_products: bool = True) -> str:
    """Write a trained model as an artifact and return its model id.

    Most kernels and all matrices are stored as int8 with a scale for each output channel, everything else as float16.

    Args:
        int8_products: compute large matrix products in whole numbers (see `products`), and not all as float32.
    Raises:
        ConfigError: the folder holds something else than an artifact.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; give a folder for the model")
    known = {*FILES, *OPTIONAL_FILES, "manifest.json", "README.md"}
    if folder.exists() and any(path.name not in known for path in folder.iterdir()):
        raise ConfigError(f"{folder} holds other files; give a new folder or that of an earlier artifact")
    folder.mkdir(parents=True, exist_ok=True)
    model = exportable(model)
    codebooks = io.BytesIO()
    np.save(codebooks, model.quantizer.codebooks.numpy().astype(np.float16))
    graphs = {"encoder.onnx": encoder_graph(model), "decoder.onnx": decoder_graph(model)}
    if model.denoiser:
        graphs[DENOISER_FILE] = denoiser_graph(model)
    contents = {
        "config.json": _description(model, graphs["decoder.onnx"]).encode(),
        "codebooks.npy": codebooks.getvalue(),
        **{
            name: (with_int8_products(graph) if int8_products else graph).SerializeToString()
            for name, graph in graphs.items()
        },
    }
    for name in OPTIONAL_FILES:
        (folder / name).unlink(missing_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return write_manifest(folder)


def _description(model: SoundStream, decoder: onnx.ModelProto) -> str:
    """config.json: the spec, which is all that the runtime reads, and the settings of the networks."""
    memory = memory_frames(decoder, model.config.hop_length)
    spec = dataclasses.replace(model.config.spec(), memory_frames=memory)
    return json.dumps(model.config.to_dict() | {"spec": spec.to_dict()}, indent=2) + "\n"


def exportable(model: SoundStream) -> SoundStream:
    """A copy as it is exported: the latent normalizer folded into the layer before it, values rounded as stored.

    A denoiser that was never trained is left out.
    """
    model = copy.deepcopy(model).eval().cpu().float()
    if not model.config.denoise:
        model.denoiser = None
    fold_normalizer(model)
    coarse = {id(layer.weight) for layer in model.modules() if _stores_int8(layer)}
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.copy_(_dequantized(tensor) if id(tensor) in coarse else tensor.half().float())
    return model


def _stores_int8(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or (isinstance(layer, CausalConv) and layer.int8)


@torch.no_grad()
def fold_normalizer(model: SoundStream) -> None:
    """Move what the latent normalizer does into the layer before it, in place.

    Where that is FiLM, it is exact for conditions that sum to one, as one-hot do.
    """
    normalizer = model.normalizer
    last = model.project or (model.encoder.last if model.config.film == "decoder" else None)
    if isinstance(last, CausalConv):
        last.weight.div_(normalizer.std)
        last.bias.sub_(normalizer.mean).div_(normalizer.std)
    else:
        model.film.gamma.div_(normalizer.std)
        model.film.beta.sub_(normalizer.mean[:, None]).div_(normalizer.std)
    normalizer.mean.zero_()
    normalizer.std.fill_(1)


def quantize_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values of a kernel or matrix `[out, ...]`, and their scale `[out, 1, ...]`."""
    scale = weight.abs().amax(dim=tuple(range(1, weight.dim())), keepdim=True).clamp(min=1e-12) / 127
    return (weight / scale).round().to(torch.int8), scale


def _dequantized(weight: Tensor) -> Tensor:
    values, scale = quantize_weight(weight)
    return values * scale


def encoder_graph(model: SoundStream) -> onnx.ModelProto:
    """`pcm [batch, 1, 1, samples]` to `latents`, of as many frames.

    With FiLM on this side `condition [batch, condition_dim, 1, frames]` is a second input, with a denoiser its
    `mask [batch, coefficients, 1, frames]` a third; ones in it change nothing.
    """
    config, graph = model.config, Graph("encoder")
    graph.input("pcm", 1, "samples")
    if config.film == "encoder":
        graph.input("condition", config.condition_dim, "frames")
    x = graph.add(model.encoder, "", _analysed(graph, model))
    if config.film == "encoder":
        x = graph.film(model.film, x, "condition", "film")
    graph.node("Identity", [graph.add(model.project, "project", x) if model.project else x], "latents")
    return graph.finish("latents", config.latent_dim, "frames", config)


def _analysed(graph: Graph, model: SoundStream) -> str:
    """What the encoder sees of `pcm`; with a denoiser, of what its mask leaves of it."""
    if not model.denoiser:
        return graph.add(model.analysis, "", "pcm")
    graph.input("mask", model.config.hop_length, "frames")
    x = graph.add(model.analysis.mdct, "mdct", "pcm")
    return graph.add(model.analysis.features, "features", graph.masked(x, "mask", "condition"))


def denoiser_graph(model: SoundStream) -> onnx.ModelProto:
    """`pcm [batch, 1, 1, samples]` -> `mask`, of the same frames; only for a model that has a denoiser."""
    assert model.denoiser
    graph = Graph("denoiser")
    graph.input("pcm", 1, "samples")
    mask = graph.add(model.denoiser, "", graph.add(model.analysis, "", "pcm"))
    return graph.finish(mask, model.config.hop_length, "frames", model.config)


def decoder_graph(model: SoundStream) -> onnx.ModelProto:
    """`latents [batch, latent_dim, 1, frames]` to `pcm [batch, 1, 1, samples]`; with FiLM here a condition too."""
    graph, x = Graph("decoder"), "latents"
    graph.input("latents", model.config.latent_dim, "frames")
    if model.config.film == "decoder":
        graph.input("condition", model.config.condition_dim, "frames")
        x = graph.film(model.film, x, "condition", "film")
    x = graph.add(model.decoder, "", x)
    graph.node("Identity", [x], "pcm")
    return graph.finish("pcm", 1, "samples", model.config)


class Graph:
    """An ONNX graph that grows layer by layer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.states: list[onnx.ValueInfoProto] = []
        self.weights: list[onnx.TensorProto] = []

    def input(self, name: str, channels: int, length: int | str) -> None:
        """Declare an input `[batch, channels, 1, length]`."""
        self.inputs.append(_value(name, channels, length))

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: Tensor | list[int]) -> str:
        """A weight, stored as float16 and cast to float32 when the graph is loaded, or a list of whole numbers."""
        if isinstance(value, list):
            self.weights.append(numpy_helper.from_array(np.array(value, dtype=np.int64), name))
            return name
        self.weights.append(numpy_helper.from_array(value.detach().numpy().astype(np.float16), f"{name}.half"))
        return self.node("Cast", [f"{name}.half"], name, to=TensorProto.FLOAT)

    def weight(self, name: str, weight: Tensor, axes: tuple[int, ...] | None = None) -> str:
        """A kernel or matrix `[out, ...]`, stored as int8 and scaled when the graph is loaded; `axes` permutes it."""
        values, scale = (part.permute(axes) if axes else part for part in quantize_weight(weight.detach()))
        self.weights += [
            numpy_helper.from_array(np.ascontiguousarray(part.numpy()), f"{name}.{key}")
            for key, part in (("int8", values), ("scale", scale))
        ]
        self.node("Cast", [f"{name}.int8"], f"{name}.values", to=TensorProto.FLOAT)
        return self.node("Mul", [f"{name}.values", f"{name}.scale"], name)

    def film(self, film: FiLM, x: str, condition: str, output: str) -> str:
        """gamma(condition) * x + beta(condition)."""
        for name, weight in (("film.gamma", film.gamma), ("film.beta", film.beta)):
            self.node("Conv", [condition, self.constant(f"{name}.weight", weight[..., None, None])], name)
        self.node("Mul", [x, "film.gamma"], "film.scaled")
        return self.node("Add", ["film.scaled", "film.beta"], output)

    def masked(self, x: str, mask: str, condition: str) -> str:
        """`soundstream.nn.denoiser.masked`, the strength being the second value of the condition."""
        strength = self._slice(condition, "strength", start=1, end=2, axis=1)
        one = self.constant("one", torch.tensor(1.0))
        taken = self.node("Mul", [self.node("Sub", [mask, one], "mask.taken"), strength], "mask.counted")
        return self.node("Mul", [x, self.node("Add", [taken, one], "mask.gain")], "masked")

    @singledispatchmethod
    def add(self, layer: StreamingModule, name: str, x: str) -> str:
        """Append a layer that reads `x`; returns the name of its output."""
        raise NotImplementedError(f"no ONNX form of {type(layer).__name__}")

    @add.register
    def _(self, layer: Chain, name: str, x: str) -> str:
        for part, child in layer.layers():
            x = self.add(child, f"{name}.{part}".lstrip("."), x)
        return x

    @add.register
    def _(self, layer: ResidualUnit, name: str, x: str) -> str:
        return self.node("Add", [x, self.add(layer.branch, name, x)], f"{name}.sum")

    @add.register
    def _(self, layer: Elu, name: str, x: str) -> str:
        """max(x, exp(min(x, 0)) - 1): ONNX Runtime's own Elu takes twice the time."""
        zero, one = (self.constant(f"{name}.{value}", torch.tensor(value)) for value in (0.0, 1.0))
        y = self.node("Clip", [x, "", zero], f"{name}.negative")
        y = self.node("Exp", [y], f"{name}.exp")
        y = self.node("Sub", [y, one], f"{name}.below")
        return self.node("Max", [x, y], name)

    @add.register
    def _(self, layer: CausalConv, name: str, x: str) -> str:
        return self.conv(layer, name, x)

    def conv(self, layer: CausalConv, name: str, x: str) -> str:
        """A convolution, with its state in front."""
        if layer.left_samples:
            x = self._join_left(f"{name}.left", layer.in_channels, layer.left_samples, x)
        store = self.weight if layer.int8 else self.constant
        weights = [store(f"{name}.weight", layer.weight), self.constant(f"{name}.bias", layer.bias)]
        strides, dilations = (1, layer.stride), (1, layer.dilation)
        return self.node("Conv", [x, *weights], name, strides=strides, dilations=dilations, group=layer.groups)

    @add.register
    def _(self, layer: CausalUpsample, name: str, x: str) -> str:
        y = self.add(layer.conv, name, x)
        channels = layer.conv.weight.shape[0] // layer.stride
        split = self.constant(f"{name}.split", [0, channels, layer.stride, -1])
        join = self.constant(f"{name}.join", [0, channels, 1, -1])
        y = self.node("Reshape", [y, split], f"{name}.phases")
        y = self.node("Transpose", [y], f"{name}.interleaved", perm=(0, 1, 3, 2))
        return self.node("Reshape", [y, join], f"{name}.samples")

    @add.register
    def _(self, layer: Features, name: str, x: str) -> str:
        power = self.node("Mul", [x, x], f"{name}.power")
        bands = self.node("Conv", [power, self.constant(f"{name}.bands", layer.bands)], f"{name}.energies")
        floor = self.constant(f"{name}.floor", torch.tensor(ENERGY_FLOOR))
        levels = self.node("Log", [self.node("Add", [bands, floor], f"{name}.floored")], f"{name}.levels")
        sign, magnitude = self.node("Sign", [x], f"{name}.sign"), self.node("Abs", [x], f"{name}.magnitude")
        roots = self.node("Mul", [sign, self.node("Sqrt", [magnitude], f"{name}.root")], f"{name}.roots")
        return self.node("Concat", [levels, roots], name, axis=1)

    @add.register
    def _(self, layer: Sigmoid, name: str, x: str) -> str:
        return self.node("Sigmoid", [x], name)

    @add.register
    def _(self, layer: Magnitudes, name: str, x: str) -> str:
        roots = self._slice(x, f"{name}.roots", start=layer.bands, end=LAST, axis=1)
        return self.node("Concat", [x, self.node("Abs", [roots], f"{name}.abs")], name, axis=1)

    @add.register
    def _(self, layer: Decoder, name: str, x: str) -> str:
        noise = self.add(layer.noise, "noise", x)
        for part in layer.hidden:
            x = self.add(getattr(layer, part), part, x)
        return self.add(layer.imdct, "imdct", self.noisy_output(layer.out, "out", x, noise))

    @add.register
    def _(self, layer: Noise, name: str, x: str) -> str:
        return self.node("Sin", [self.conv(layer, name, x)], f"{name}.sine")

    def noisy_output(self, layer: NoisyOutput, name: str, x: str, noise: str) -> str:
        """value * exp(scale) + noise * exp(level), the value squared with its sign or as it is."""
        y = self.node("Transpose", [x], f"{name}.last", perm=CHANNELS_LAST)
        y = self._layer_norm(layer.norm, f"{name}.norm", y)
        y = self.node("Transpose", [y], f"{name}.normalized", perm=CHANNELS_FIRST)
        loudest = self.constant(f"{name}.loudest", torch.tensor(LOUDEST))
        scale, level = (
            self.node("Exp", [self.node("Min", [part, loudest], f"{part}.bounded")], f"{part}.exp")
            for part in (self.add(layer.scale, f"{name}.scale", y), self.add(layer.level, f"{name}.level", x))
        )
        value = self.add(layer.value, f"{name}.value", x)
        if layer.squared:
            value = self.node("Mul", [value, self.node("Abs", [value], f"{value}.size")], f"{value}.squared")
        value = self.node("Mul", [value, scale], f"{name}.scaled")
        return self.node("Add", [value, self.node("Mul", [noise, level], f"{name}.levelled")], name)

    @add.register
    def _(self, layer: ConvNeXtBlock, name: str, x: str) -> str:
        y = self.add(layer.depthwise, name, x)
        y = self.node("Transpose", [y], f"{name}.last", perm=CHANNELS_LAST)
        y = self._layer_norm(layer.norm, f"{name}.norm", y)
        y = self.node("Gelu", [self._linear(layer.expand, f"{name}.expand", y)], f"{name}.gelu")
        y = self._linear(layer.shrink, f"{name}.shrink", y)
        y = self.node("Transpose", [y], f"{name}.branch", perm=CHANNELS_FIRST)
        return self.node("Add", [x, y], f"{name}.sum")

    def _layer_norm(self, norm: nn.LayerNorm, name: str, x: str) -> str:
        weights = [self.constant(f"{name}.weight", norm.weight), self.constant(f"{name}.bias", norm.bias)]
        return self.node("LayerNormalization", [x, *weights], name, axis=-1, epsilon=norm.eps)

    def _linear(self, linear: nn.Linear, name: str, x: str) -> str:
        y = self.node("MatMul", [x, self.weight(f"{name}.weight", linear.weight, (1, 0))], f"{name}.product")
        return self.node("Add", [y, self.constant(f"{name}.bias", linear.bias)], name)

    def _join_left(self, state: str, channels: int, length: int, x: str) -> str:
        self.input(state, channels, length)
        self.states.append(_value(f"{state}.next", channels, length))
        joined = self.node("Concat", [state, x], f"{state}.joined", axis=3)
        self._slice(joined, f"{state}.next", start=-length, end=LAST, axis=3)
        return joined

    def _slice(self, x: str, output: str, **bounds: int) -> str:
        names = [self.constant(f"{output}.{key}", [value]) for key, value in bounds.items()]
        return self.node("Slice", [x, *names], output)

    def finish(self, output: str, channels: int, length: str, config: CodecConfig) -> onnx.ModelProto:
        """The checked model; its first output is `output`, the states follow."""
        outputs = [_value(output, channels, length), *self.states]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        macs = macs_per_frame(model, config.hop_length)
        helper.set_model_props(model, {"codec": json.dumps(config.to_dict()), MACS_PROPERTY: str(macs)})
        onnx.checker.check_model(model)
        return model


def _value(name: str, channels: int, length: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, 1, length])
