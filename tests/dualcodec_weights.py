"""A narrow DualCodec whose alphas, biases, norms and codebooks all do something, and features for it."""

import numpy as np
import torch

from dac_weights import published as published_dac
from soundstream.nn.families.dualcodec import Config

CONFIG = Config(
    latent_dim=20,
    num_quantizers=4,
    codebook_size=128,
    acoustic_size=64,
    codebook_dim=4,
    encoder_channels=2,
    decoder_channels=64,
    feature_channels=24,
    semantic_channels=12,
    semantic_blocks=2,
    feedforward=40,
)
HOP = CONFIG.hop_length


def published(config=CONFIG, seed=0):
    """Random tensors by the names of the authors' file, the same on any machine."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, torch.Tensor] = {}

    def add(name, *shape, scale=1.0, around=0.0):
        tensors[name] = torch.from_numpy(rng.normal(around, scale, shape).astype(np.float32))

    def conv(name, outputs, inputs):
        add(f"{name}.weight_v", outputs, inputs, 1)
        add(f"{name}.weight_g", outputs, 1, 1, scale=0.05, around=1.0)
        add(f"{name}.bias", outputs, scale=0.05)

    def block(name):
        width, inner = config.semantic_channels, config.feedforward
        add(f"{name}.dwconv.weight", width, 1, 7, scale=0.4)
        add(f"{name}.norm.weight", width, scale=0.1, around=1.0)
        add(f"{name}.pwconv1.weight", inner, width, scale=width**-0.5)
        add(f"{name}.pwconv2.weight", width, inner, scale=inner**-0.5)
        for part, size in (("dwconv", width), ("norm", width), ("pwconv1", inner), ("pwconv2", width)):
            add(f"{name}.{part}.bias", size, scale=0.05)

    count, width = config.semantic_blocks, config.semantic_channels
    conv("convnext_encoder.0", width, config.feature_channels)
    conv(f"convnext_decoder.{count}", config.acoustic.latent_dim, width)
    for i in range(count):
        block(f"convnext_encoder.{i + 1}")
        block(f"convnext_decoder.{i}")
    conv("semantic_vq.quantizers.0.in_proj", config.codebook_dim, width)
    conv("semantic_vq.quantizers.0.out_proj", width, config.codebook_dim)
    add("semantic_vq.quantizers.0.codebook.weight", config.codebook_size, config.codebook_dim)
    acoustic = dac_config(config)
    return tensors | {f"dac.{name}": tensor for name, tensor in published_dac(acoustic, seed).items()}


def dac_config(config):
    """The acoustic half as a model of DAC."""
    from dataclasses import replace

    sizes = {"num_quantizers": config.num_quantizers - 1, "codebook_size": config.acoustic_size}
    return replace(config.acoustic, codebook_dim=config.codebook_dim, **sizes)


def features(frames, config=CONFIG, seed=0):
    """What stands for those of a model of speech, `[feature_channels, frames]`."""
    return np.random.default_rng(seed).normal(size=(config.feature_channels, frames)).astype(np.float32)
