"""A narrow VRVQ whose alphas, biases and codebooks all do something, and whose frames differ in importance."""

import itertools
from dataclasses import replace

import numpy as np
import torch

from dac_weights import CONFIG as NETWORKS
from dac_weights import published as published_dac
from soundstream.nn.families.vrvq import Config

CONFIG = Config(**vars(NETWORKS), importance_channels=(12, 8, 4))
THEIRS = replace(CONFIG, encoder_channels=2, latent_dim=32, importance_channels=(32, 512, 128, 32, 8))
"""Narrow, and of a form that the authors' code has."""
HOP = CONFIG.hop_length


def published(config=CONFIG, seed=3):
    """Random tensors by the names of the authors' files, the same on any machine."""
    rng, tensors = np.random.default_rng(seed + 1), published_dac(config, seed)
    widths = [config.encoder_channels << len(config.strides), *config.importance_channels, 1]
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        name, around = f"quantizer.imp_subnet.{f'blocks.{i - 1}' if i else 'in_block'}", 12.0 if outputs == 1 else 1.0
        for part, shape, scale, mean in (
            ("0.alpha", (1, inputs, 1), 0.5, 1.0),
            ("1.weight_v", (outputs, inputs, 3), 1.0, 0.0),
            ("1.weight_g", (outputs, 1, 1), 0.05, around),
            ("1.bias", (outputs,), 0.1, 0.0),
        ):
            tensors[f"{name}.{part}"] = torch.from_numpy(rng.normal(mean, scale, shape).astype(np.float32))
    return tensors
