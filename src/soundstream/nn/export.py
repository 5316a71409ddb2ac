"""Writes the artifact: encoder and decoder as ONNX graphs with explicit state, codebooks, config and model id.

The graphs are built node by node from the layers' own weights: 2-D convolutions only, each state tensor an input under
the name that `init_state` gives it and an output under that name with `.next` behind it.
"""

from __future__ import annotations

import copy
import io
import json
import math
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
from soundstream.nn.conv import CausalConv, CausalUpsample, Elu
from soundstream.nn.film import FiLM
from soundstream.nn.macs import macs_per_frame
from soundstream.nn.model import SoundStream
from soundstream.nn.seanet import ResidualUnit
from soundstream.nn.spectral import ConvNeXtBlock, SignedSqrt, SignedSquare
from soundstream.nn.streaming import Chain, StreamingModule
from soundstream.runtime.artifact import FILES, MACS_PROPERTY, write_manifest

OPSET = 17
CHANNELS_LAST = (0, 3, 2, 1)
"""Swaps channels and time of `[batch, channels, 1, time]`."""
LAST = np.iinfo(np.int64).max


def export(model: SoundStream, folder: Path) -> str:
    """Write a trained model as an artifact and return its model id.

    Weights and codebooks are stored as float16 and computed with as float32.

    Raises:
        ConfigError: the folder holds something else than an artifact.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; give a folder for the model")
    if folder.exists() and any(path.name not in {*FILES, "manifest.json", "README.md"} for path in folder.iterdir()):
        raise ConfigError(f"{folder} holds other files; give a new folder or that of an earlier artifact")
    folder.mkdir(parents=True, exist_ok=True)
    model = exportable(model)
    codebooks = io.BytesIO()
    np.save(codebooks, model.quantizer.codebooks.numpy().astype(np.float16))
    contents = {
        "config.json": model.config.to_json().encode(),
        "encoder.onnx": encoder_graph(model).SerializeToString(),
        "decoder.onnx": decoder_graph(model).SerializeToString(),
        "codebooks.npy": codebooks.getvalue(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return write_manifest(folder)


def exportable(model: SoundStream) -> SoundStream:
    """A copy as it is exported: the latent normalizer folded into FiLM, values rounded to float16.

    The fold is exact for conditions that sum to one, as one-hot ones do.
    """
    model = copy.deepcopy(model).eval().cpu().float()
    film, normalizer = model.film, model.normalizer
    with torch.no_grad():
        film.gamma.div_(normalizer.std)
        film.beta.copy_((film.beta - normalizer.mean[:, None]) / normalizer.std)
        normalizer.mean.zero_()
        normalizer.std.fill_(1)
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.copy_(tensor.half().float())
    return model


def encoder_graph(model: SoundStream) -> onnx.ModelProto:
    """`pcm [batch, 1, 1, samples]`, `condition [batch, condition_dim, 1, frames]` to `latents`, of the same frames."""
    config, graph = model.config, Graph("encoder")
    graph.input("pcm", 1, "samples")
    graph.input("condition", config.condition_dim, "frames")
    x = graph.add(model.encoder, "", "pcm")
    graph.film(model.film, x, "condition", "latents")
    return graph.finish("latents", config.latent_dim, "frames", config)


def decoder_graph(model: SoundStream) -> onnx.ModelProto:
    """`latents [batch, latent_dim, 1, frames]` -> `pcm [batch, 1, 1, samples]`."""
    graph = Graph("decoder")
    graph.input("latents", model.config.latent_dim, "frames")
    x = graph.add(model.decoder, "", "latents")
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

    def film(self, film: FiLM, x: str, condition: str, output: str) -> None:
        """gamma(condition) * x + beta(condition)."""
        for name, weight in (("film.gamma", film.gamma), ("film.beta", film.beta)):
            self.node("Conv", [condition, self.constant(f"{name}.weight", weight[..., None, None])], name)
        self.node("Mul", [x, "film.gamma"], "film.scaled")
        self.node("Add", ["film.scaled", "film.beta"], output)

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
        if layer.left_samples:
            x = self._join_left(f"{name}.left", layer.in_channels, layer.left_samples, x)
        weights = [self.constant(f"{name}.{key}", getattr(layer, key)) for key in ("weight", "bias")]
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
    def _(self, layer: SignedSqrt, name: str, x: str) -> str:
        sign, magnitude = self.node("Sign", [x], f"{name}.sign"), self.node("Abs", [x], f"{name}.magnitude")
        return self.node("Mul", [sign, self.node("Sqrt", [magnitude], f"{name}.root")], name)

    @add.register
    def _(self, layer: SignedSquare, name: str, x: str) -> str:
        return self.node("Mul", [x, self.node("Abs", [x], f"{name}.magnitude")], name)

    @add.register
    def _(self, layer: ConvNeXtBlock, name: str, x: str) -> str:
        y = self.add(layer.depthwise, name, x)
        y = self.node("Transpose", [y], f"{name}.last", perm=CHANNELS_LAST)
        y = self._layer_norm(layer.norm, f"{name}.norm", y)
        y = self._gelu(f"{name}.gelu", self._linear(layer.expand, f"{name}.expand", y))
        y = self._linear(layer.shrink, f"{name}.shrink", y)
        y = self.node("Transpose", [y], f"{name}.branch", perm=CHANNELS_LAST)
        return self.node("Add", [x, y], f"{name}.sum")

    def _layer_norm(self, norm: nn.LayerNorm, name: str, x: str) -> str:
        weights = [self.constant(f"{name}.weight", norm.weight), self.constant(f"{name}.bias", norm.bias)]
        return self.node("LayerNormalization", [x, *weights], name, axis=-1, epsilon=norm.eps)

    def _linear(self, linear: nn.Linear, name: str, x: str) -> str:
        y = self.node("MatMul", [x, self.constant(f"{name}.weight", linear.weight.T)], f"{name}.product")
        return self.node("Add", [y, self.constant(f"{name}.bias", linear.bias)], name)

    def _gelu(self, name: str, x: str) -> str:
        """x * (1 + erf(x / sqrt(2))) / 2, in the form that ONNX Runtime recognises and fuses."""
        root, one, half = (
            self.constant(f"{name}.{key}", torch.tensor(value))
            for key, value in (("root", math.sqrt(2)), ("one", 1.0), ("half", 0.5))
        )
        y = self.node("Div", [x, root], f"{name}.scaled")
        y = self.node("Add", [self.node("Erf", [y], f"{name}.erf"), one], f"{name}.gate")
        return self.node("Mul", [self.node("Mul", [x, y], f"{name}.double"), half], name)

    def _join_left(self, state: str, channels: int, length: int, x: str) -> str:
        self.input(state, channels, length)
        self.states.append(_value(f"{state}.next", channels, length))
        joined = self.node("Concat", [state, x], f"{state}.joined", axis=3)
        bounds = [self.constant(f"{state}.{key}", [v]) for key, v in (("start", -length), ("end", LAST), ("axis", 3))]
        self.node("Slice", [joined, *bounds], f"{state}.next")
        return joined

    def finish(self, output: str, channels: int, length: str, config: CodecConfig) -> onnx.ModelProto:
        """The checked model; its first output is `output`, the states follow."""
        outputs = [_value(output, channels, length), *self.states]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        macs = macs_per_frame(model, config.hop_length)
        helper.set_model_props(model, {"codec": json.dumps(config.to_dict()), MACS_PROPERTY: str(macs)})
        onnx.checker.check_model(model)
        return model


def _value(name: str, channels: int, length: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, 1, length])
