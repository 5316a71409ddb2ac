"""Narrow SNAC models whose alphas, biases, attention, noise and codebooks all do something."""

import dataclasses

import numpy as np
import torch

from soundstream.nn.families.snac import Config

CONFIG = Config(encoder_channels=4, decoder_channels=32, latent_dim=64, codebook_size=64)
"""As the published model of 24 kHz."""
ATTENTIVE = dataclasses.replace(
    CONFIG,
    sample_rate=32_000,
    num_quantizers=4,
    codebook_strides=(8, 4, 2, 1),
    strides=(2, 3, 8, 8),
    decoder_channels=64,
    attention_window=32,
)
"""As those of 32 and 44.1 kHz, with attention."""
SMALL = dataclasses.replace(ATTENTIVE, strides=(2, 3), latent_dim=16, attention_window=8)
"""The same with few samples a frame, and narrow windows."""


def published(config, seed=0):
    """Random tensors by the names of the author's files, the same on any machine: PyTorch's own draws are not."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, torch.Tensor] = {}

    def add(name, *shape, scale=1.0, around=0.0):
        tensors[name] = torch.from_numpy(rng.normal(around, scale, shape).astype(np.float32))

    def kernel(name, outputs, inputs, size, gain=0.7):
        add(f"{name}.parametrizations.weight.original1", outputs, inputs, size)
        add(f"{name}.parametrizations.weight.original0", outputs, 1, 1, scale=0.05, around=gain)

    def conv(name, outputs, inputs, size, gain=0.7, bias=0.1):
        kernel(name, outputs, inputs, size, gain)
        add(f"{name}.bias", outputs, scale=bias)

    def snake(name, width):
        add(f"{name}.alpha", 1, width, 1, scale=0.5, around=1.0)

    def unit(name, width):
        snake(f"{name}.block.0", width)
        conv(f"{name}.block.1", width, 1, 7)
        snake(f"{name}.block.2", width)
        conv(f"{name}.block.3", width, width, 1, gain=0.3)

    def attention(name, width):
        add(f"{name}.norm.weight", width, scale=0.1, around=1.0)
        add(f"{name}.norm.bias", width, scale=0.1)
        add(f"{name}.to_qkv.weight", 3 * width, width, scale=1.5 * width**-0.5)
        add(f"{name}.to_out.weight", width, width, scale=width**-0.5)
        head = min(width, 64)
        tensors[f"{name}.rel_pos.inv_freq"] = 10_000.0 ** -(torch.arange(0, head, 2) / head)

    attends, count, width = bool(config.attention_window), len(config.strides), config.encoder_channels
    conv("encoder.block.0", width, 1, 7)
    for i, stride in enumerate(config.strides, 1):
        for j in range(3):
            unit(f"encoder.block.{i}.block.{j}", width)
        snake(f"encoder.block.{i}.block.3", width)
        conv(f"encoder.block.{i}.block.4", 2 * width, width, 2 * stride)
        width *= 2
    if attends:
        attention(f"encoder.block.{count + 1}", width)
    conv(f"encoder.block.{count + attends + 1}", width, 1, 7, gain=2.0)
    first, wide = config.latent_dim, config.decoder_channels
    conv("decoder.model.0", first, 1, 7)
    conv("decoder.model.1", wide, first, 1)
    if attends:
        attention("decoder.model.2", wide)
    for i, stride in enumerate(reversed(config.strides), 2 + attends):
        snake(f"decoder.model.{i}.block.0", wide)
        kernel(f"decoder.model.{i}.block.1", wide, wide // 2, 2 * stride, gain=0.7 * stride**0.5)
        wide //= 2
        add(f"decoder.model.{i}.block.1.bias", wide, scale=0.1)
        kernel(f"decoder.model.{i}.block.2.linear", wide, wide, 1, gain=0.3)
        for j in range(3):
            unit(f"decoder.model.{i}.block.{j + 3}", wide)
    snake(f"decoder.model.{count + attends + 2}", wide)
    conv(f"decoder.model.{count + attends + 3}", 1, wide, 7, gain=0.3)
    for i in range(config.num_quantizers):
        name = f"quantizer.quantizers.{i}"
        conv(f"{name}.in_proj", config.codebook_dim, config.latent_dim, 1, bias=0.01)
        conv(f"{name}.out_proj", config.latent_dim, config.codebook_dim, 1, bias=0.01)
        add(f"{name}.codebook.weight", config.codebook_size, config.codebook_dim, scale=0.8**i)
    return tensors


def renamed(tensors):
    """The same by the names that PyTorch gave before it had parametrizations."""
    pairs = [(f".parametrizations.weight.original{i}", f".weight_{kind}") for i, kind in enumerate("gv")]
    found = {}
    for name, tensor in tensors.items():
        for theirs, instead in pairs:
            name = name.replace(theirs, instead)
        found[name] = tensor
    return found
