"""Narrow DAC models whose alphas, biases and codebooks all do something."""

import numpy as np
import torch

from soundstream.nn.families.dac import Config

CONFIG = Config(
    sample_rate=24_000,
    encoder_channels=4,
    decoder_channels=32,
    latent_dim=16,
    num_quantizers=6,
    codebook_size=64,
    strides=(2, 4, 5, 8),
)
"""As the published model of 24 kHz, whose upsampling lacks samples."""
WIDE_BAND = Config(
    encoder_channels=4, decoder_channels=32, latent_dim=16, num_quantizers=6, codebook_size=64, strides=(2, 4, 8, 8)
)
"""As the one of 44.1 kHz."""
HOP = CONFIG.hop_length


def published(config, seed=0):
    """Random tensors by the names of the authors' files, the same on any machine: PyTorch's own draws are not."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, torch.Tensor] = {}

    def add(name, *shape, scale=1.0, around=0.0):
        tensors[name] = torch.from_numpy(rng.normal(around, scale, shape).astype(np.float32))

    def conv(name, outputs, inputs, kernel, transposed=False, gain=0.7, bias=0.1):
        rows, columns = (inputs, outputs) if transposed else (outputs, inputs)
        add(f"{name}.weight_v", rows, columns, kernel)
        add(f"{name}.weight_g", rows, 1, 1, scale=0.05, around=gain * (kernel / 2) ** 0.5 if transposed else gain)
        add(f"{name}.bias", outputs, scale=bias)

    def snake(name, width):
        add(f"{name}.alpha", 1, width, 1, scale=0.5, around=1.0)

    def unit(name, width):
        snake(f"{name}.block.0", width)
        conv(f"{name}.block.1", width, width, 7)
        snake(f"{name}.block.2", width)
        conv(f"{name}.block.3", width, width, 1, gain=0.3)

    count, width = len(config.strides), config.encoder_channels
    conv("encoder.block.0", width, 1, 7)
    for i, stride in enumerate(config.strides, 1):
        for j in range(3):
            unit(f"encoder.block.{i}.block.{j}", width)
        snake(f"encoder.block.{i}.block.3", width)
        conv(f"encoder.block.{i}.block.4", 2 * width, width, 2 * stride)
        width *= 2
    snake(f"encoder.block.{count + 1}", width)
    conv(f"encoder.block.{count + 2}", config.latent_dim, width, 3, gain=4.0)
    width = config.decoder_channels
    conv("decoder.model.0", width, config.latent_dim, 7)
    for i, stride in enumerate(reversed(config.strides), 1):
        snake(f"decoder.model.{i}.block.0", width)
        conv(f"decoder.model.{i}.block.1", width // 2, width, 2 * stride, transposed=True)
        width //= 2
        for j in range(3):
            unit(f"decoder.model.{i}.block.{j + 2}", width)
    snake(f"decoder.model.{count + 1}", width)
    conv(f"decoder.model.{count + 2}", 1, width, 7, gain=0.3)
    for i in range(config.num_quantizers):
        name = f"quantizer.quantizers.{i}"
        conv(f"{name}.in_proj", config.codebook_dim, config.latent_dim, 1, bias=0.01)
        conv(f"{name}.out_proj", config.latent_dim, config.codebook_dim, 1, bias=0.01)
        add(f"{name}.codebook.weight", config.codebook_size, config.codebook_dim, scale=0.4 * 0.8**i)
    return tensors


def renamed(tensors, config):
    """The same by the names of `transformers`, which has weight normalization folded."""
    found, count = {}, len(config.strides)
    for name, tensor in tensors.items():
        if name.endswith("weight_g"):
            continue
        if name.endswith("weight_v"):
            size = tensors[f"{name[:-1]}g"].double() / tensor.double().norm(dim=(1, 2), keepdim=True)
            name, tensor = name.removesuffix("_v"), (tensor.double() * size).float()
        found[_theirs(name.split("."), count)] = tensor
    return found


def _theirs(parts, count):
    """A name of the authors in the words of `transformers`."""
    side, _, place, *rest = parts
    if side == "quantizer":
        return ".".join(parts)
    if len(rest) == 1:
        return ".".join([side, {0: "conv1", count + 1: "snake1", count + 2: "conv2"}[int(place)], *rest])
    block, inner = f"{side}.block.{int(place) - 1}", int(rest[1])
    outer = ["snake1", "conv_t1"] if side == "decoder" else [None, None, None, "snake1", "conv1"]
    if len(rest) == 3:
        return f"{block}.{outer[inner]}.{rest[2]}"
    number = inner - 1 if side == "decoder" else inner + 1
    return f"{block}.res_unit{number}.{('snake1', 'conv1', 'snake2', 'conv2')[int(rest[3])]}.{rest[4]}"
