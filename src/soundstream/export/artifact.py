"""Writes the artifact: encoder and decoder as ONNX graphs with explicit state, codebooks, config and model id.

Layers write themselves into the graphs (`nn.graph`); nothing here knows a family of networks.
"""

from __future__ import annotations

import copy
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from soundstream.errors import ConfigError
from soundstream.export.costs import macs_per_frame, memory_frames
from soundstream.export.int8 import with_int8_products
from soundstream.nn.config import FamilyConfig
from soundstream.nn.graph import Graph, quantize_weight
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.folding import fold_snakes
from soundstream.nn.model import FEATURES, LEVELS, SoundStream
from soundstream.nn.quantize import ResidualVectorQuantizer
from soundstream.runtime.artifact import FILES, LEVEL_CODEBOOK_FILE, OPTIONAL_FILES, write_manifest
from soundstream.runtime.factors import QUANTIZER_FILE, Factors
from soundstream.runtime.model import DENOISER_FILE, FEATURES_FILE, LEVELS_FILE
from soundstream.runtime.session import MACS_PROPERTY


def export(model: SoundStream, folder: Path, *, int8_products: bool = True) -> str:
    """Write a trained model as an artifact and return its model id.

    Most kernels and all matrices are stored as int8 with a scale for each output channel, everything else as float16;
    with `EXACT` of the config all of it as float32.

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
    graphs = {"encoder.onnx": encoder_graph(model), "decoder.onnx": decoder_graph(model)}
    if model.denoiser:
        graphs[DENOISER_FILE] = denoiser_graph(model)
    if model.level_stage:
        graphs[LEVELS_FILE] = levels_graph(model)
    if model.features:
        graphs[FEATURES_FILE] = features_graph(model)
    contents: dict[str, bytes] = {
        "config.json": _description(model, graphs["decoder.onnx"]).encode(),
        "codebooks.npy": _array(model.quantizer.codebooks, model.config.EXACT),
        **{
            name: (with_int8_products(graph) if int8_products else graph).SerializeToString()
            for name, graph in graphs.items()
        },
    }
    if model.level_stage:
        contents[LEVEL_CODEBOOK_FILE] = _array(model.level_stage.codebook, model.config.EXACT)
    for name in OPTIONAL_FILES:
        (folder / name).unlink(missing_ok=True)
    if not model.quantizer.is_plain:
        factors(model.quantizer).save(folder / QUANTIZER_FILE, exact=model.config.EXACT)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return write_manifest(folder)


def _array(codebook: Tensor, exact: bool) -> bytes:
    """A .npy file of entries."""
    file = io.BytesIO()
    np.save(file, codebook.numpy().astype(np.float32 if exact else np.float16))
    return file.getvalue()


def factors(quantizer: ResidualVectorQuantizer) -> Factors:
    """What stands between latents and codebooks, as the runtime has it."""
    arrays: dict[str, Any] = {name: parameter.detach().numpy() for name, parameter in quantizer.named_parameters()}
    starts = tuple(books.start for books in quantizer.groups)
    sizes, strides = quantizer.sizes, quantizer.strides
    return Factors(**arrays, cosine=quantizer.form.cosine, sizes=sizes, strides=strides, starts=starts)


def _description(model: SoundStream, decoder: onnx.ModelProto) -> str:
    """config.json: the spec, which is all that the runtime reads, and the settings of the networks."""
    spec = model.config.spec()
    memory = spec.memory_frames + memory_frames(decoder, model.config.hop_length, spec.window_frames)
    spec = dataclasses.replace(spec, memory_frames=memory)
    return json.dumps(model.config.to_dict() | {"spec": spec.to_dict()}, indent=2) + "\n"


def exportable(model: SoundStream) -> SoundStream:
    """A copy as it is exported: the latent normalizer folded into the layer before it, values rounded as stored.

    A denoiser that was never trained is left out.
    """
    model = copy.deepcopy(model).eval().cpu().float()
    if not model.config.denoise:
        model.denoiser = None
    fold_normalizer(model)
    if model.config.EXACT:
        fold_snakes(model)
        return model
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


def _dequantized(weight: Tensor) -> Tensor:
    values, scale = quantize_weight(weight)
    return values * scale


def encoder_graph(model: SoundStream) -> onnx.ModelProto:
    """`pcm [batch, audio_channels, 1, samples]` to `latents`, of as many frames.

    With FiLM on this side `condition [batch, condition_dim, 1, frames]` is a second input, with a denoiser its
    `mask [batch, coefficients, 1, frames]` a third; ones in it change nothing. With a gain it is a second output,
    `side [batch, 1, 1, 1]`. The importance of frames, where the encoder tells it, is a channel behind the latents.
    """
    config, graph = model.config, Graph("encoder", model.config.EXACT)
    graph.input("pcm", config.audio_channels, "samples")
    if config.film == "encoder":
        graph.input("condition", config.condition_dim, "frames")
    x, importance = model.importance_onnx(graph, model.encoder.onnx(graph, "", model.analysed_onnx(graph)))
    if config.film == "encoder":
        x = model.film.onnx(graph, "film", x, "condition")
    found = [model.project.onnx(graph, "project", x) if model.project else x]
    found += ([LEVELS] if model.level_stage else []) + importance
    graph.node("Concat", found, "latents", axis=1) if len(found) > 1 else graph.node("Identity", found, "latents")
    channels = config.spec().latent_dim + bool(config.importance)
    return _finished(graph, "latents", channels, "frames", config)


def denoiser_graph(model: SoundStream) -> onnx.ModelProto:
    """`pcm [batch, 1, 1, samples]` -> `mask`, of the same frames; only for a model that has a denoiser."""
    assert model.denoiser
    graph = Graph("denoiser", model.config.EXACT)
    graph.input("pcm", 1, "samples")
    mask = model.denoiser.onnx(graph, "", model.analysis.onnx(graph, "", "pcm"))
    return _finished(graph, mask, model.config.hop_length, "frames", model.config)


def levels_graph(model: SoundStream) -> onnx.ModelProto:
    """`latents` with levels, and `quantized` ones -> `gains` of bands; only for a model whose levels have codes."""
    assert model.level_stage
    graph = Graph("levels", model.config.EXACT)
    gains = model.level_stage.onnx(graph, model.config.latent_dim)
    return _finished(graph, gains, model.level_stage.bands, "frames", model.config)


def features_graph(model: SoundStream) -> onnx.ModelProto:
    """`features` -> what they add to the latents, of as many frames; only for a model that takes some."""
    assert model.features and model.config.encoder_features
    graph = Graph(FEATURES, model.config.EXACT)
    graph.input(FEATURES, model.config.encoder_features.channels, "frames")
    return _finished(graph, model.features.onnx(graph, "", FEATURES), model.config.latent_dim, "frames", model.config)


def decoder_graph(model: SoundStream) -> onnx.ModelProto:
    """`latents [batch, latent_dim, 1, frames]` to `pcm [batch, audio_channels, 1, samples]`.

    With FiLM on this side there is a condition too, with a gain `side`.
    """
    graph, x = Graph("decoder", model.config.EXACT), "latents"
    graph.input("latents", model.config.spec().latent_dim, "frames")
    if model.config.film == "decoder":
        graph.input("condition", model.config.condition_dim, "frames")
        x = model.film.onnx(graph, "film", x, "condition")
    x = model.decoder.onnx(graph, "", x)
    graph.node("Identity", [model.gain.multiplied_onnx(graph, x) if model.gain else x], "pcm")
    return _finished(graph, "pcm", model.config.audio_channels, "samples", model.config)


def _finished(graph: Graph, output: str, channels: int, length: str, config: FamilyConfig) -> onnx.ModelProto:
    """The checked graph, with what it costs and the settings of its networks."""
    model = graph.finish(output, channels, length)
    macs = macs_per_frame(model, config.hop_length, config.spec().window_frames)
    helper.set_model_props(model, {"codec": json.dumps(config.to_dict()), MACS_PROPERTY: str(macs)})
    onnx.checker.check_model(model)
    return model
