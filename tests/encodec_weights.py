"""A narrow EnCodec whose weights, biases and codebooks all do something."""

import numpy as np
import torch

from soundstream.nn.families.encodec import START_FRAMES, Config

CONFIG = Config(channels=4, latent_dim=16, num_quantizers=8, codebook_size=64)
STEREO = Config(
    sample_rate=48_000,
    channels=4,
    latent_dim=16,
    num_quantizers=8,
    codebook_size=64,
    audio_channels=2,
    segment_samples=9600,
    overlap_samples=480,
)
"""The same of the model of segments, which are shorter than the published ones."""
HOP = CONFIG.hop_length
FRAMES_AT_ONCE = START_FRAMES


@torch.no_grad()
def filled(model, seed=0):
    """The same model in evaluation mode: biases, and codebooks as large as what they code."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "norm.weight")) and name.startswith(("encoder", "decoder")):
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    latents = model.encode(0.2 * torch.randn(1, model.config.audio_channels, 40 * HOP, generator=generator))
    for i, codebook in enumerate(model.quantizer.codebooks):
        codebook.copy_(latents.std() * 0.8**i * torch.randn(codebook.shape, generator=generator))
    return model.eval()


def published(config, seed=0):
    """Random tensors by the names of the authors' files, the same on any machine: PyTorch's own draws are not."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, torch.Tensor] = {}

    def add(name, *shape, scale=1.0):
        tensors[name] = torch.from_numpy(rng.normal(0, scale, shape).astype(np.float32))

    def add_scale(name, *shape):
        tensors[name] = torch.from_numpy(rng.uniform(0.5, 1.5, shape).astype(np.float32))

    def conv(name, outputs, inputs, kernel, transposed=False):
        kind = "convtr.convtr" if transposed else "conv.conv"
        rows, columns = (inputs, outputs) if transposed else (outputs, inputs)
        add(f"{name}.{kind}.bias", outputs, scale=0.1)
        if config.segment_samples:
            add(f"{name}.{kind}.weight", rows, columns, kernel)
            norm = f"{name}.{kind.split('.')[0]}.norm"
            add_scale(f"{norm}.weight", outputs)
            add(f"{norm}.bias", outputs, scale=0.1)
        else:
            add(f"{name}.{kind}.weight_v", rows, columns, kernel)
            add_scale(f"{name}.{kind}.weight_g", rows, 1, 1)

    def residual(name, width):
        conv(f"{name}.block.1", width // 2, width, 3)
        conv(f"{name}.block.3", width, width // 2, 1)
        conv(f"{name}.shortcut", width, width, 1)

    def lstm(name, width):
        for layer in range(config.lstm_layers):
            for kind in ("ih", "hh"):
                add(f"{name}.lstm.weight_{kind}_l{layer}", 4 * width, width, scale=0.1)
                add(f"{name}.lstm.bias_{kind}_l{layer}", 4 * width, scale=0.1)

    widths, last = [config.channels * 2**i for i in range(5)], 3 * len(config.strides)
    conv("encoder.model.0", widths[0], config.audio_channels, 7)
    conv(f"encoder.model.{last + 3}", config.latent_dim, widths[4], 7)
    conv("decoder.model.0", widths[4], config.latent_dim, 7)
    conv(f"decoder.model.{last + 3}", config.audio_channels, widths[0], 7)
    lstm(f"encoder.model.{last + 1}", widths[4])
    lstm("decoder.model.1", widths[4])
    for i, stride in enumerate(config.strides):
        residual(f"encoder.model.{3 * i + 1}", widths[i])
        conv(f"encoder.model.{3 * i + 3}", widths[i + 1], widths[i], 2 * stride)
        place = last - 3 * i
        conv(f"decoder.model.{place}", widths[i], widths[i + 1], 2 * stride, transposed=True)
        residual(f"decoder.model.{place + 1}", widths[i])
    for i in range(config.num_quantizers):
        book = f"quantizer.vq.layers.{i}._codebook"
        add(f"{book}.embed", config.codebook_size, config.latent_dim, scale=0.8**i)
        tensors |= {f"{book}.inited": torch.ones(1), f"{book}.cluster_size": torch.ones(config.codebook_size)}
        tensors[f"{book}.embed_avg"] = tensors[f"{book}.embed"].clone()
    return tensors


def renamed(tensors):
    """The same by the names of `transformers`."""
    pairs = [
        (".conv.conv.", ".conv."),
        (".convtr.convtr.", ".conv."),
        (".conv.norm.", ".norm."),
        (".convtr.norm.", ".norm."),
        ("coder.model.", "coder.layers."),
        ("quantizer.vq.layers.", "quantizer.layers."),
        ("._codebook.", ".codebook."),
        ("weight_g", "parametrizations.weight.original0"),
        ("weight_v", "parametrizations.weight.original1"),
    ]
    found = {}
    for name, tensor in tensors.items():
        for theirs, instead in pairs:
            name = name.replace(theirs, instead)
        found[name] = tensor
    return found
