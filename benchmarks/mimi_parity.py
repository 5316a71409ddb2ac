"""Mimi at full size beside that of `transformers`, both with the same random weights.

python -m benchmarks.mimi_parity -o docs/results/mimi.json
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.originals import SEED, row, sounds, write_parity
from soundstream.arrays import Array, Codes
from soundstream.codec import Codec
from soundstream.nn.families.mimi import VARIANTS, Config


@torch.no_grad()
def original(config: Config) -> Any:
    """A model with random weights, biases, scales and entries."""
    from transformers import MimiConfig, MimiModel

    torch.manual_seed(SEED)
    sizes = MimiConfig(
        num_filters=config.channels,
        hidden_size=config.latent_dim,
        num_hidden_layers=config.transformer_layers,
        intermediate_size=config.feedforward,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        head_dim=config.latent_dim // config.heads,
        codebook_size=config.codebook_size,
        codebook_dim=config.codebook_dim,
        vector_quantization_hidden_dimension=config.codebook_dim,
        num_quantizers=config.num_quantizers,
        upsample_groups=config.latent_dim,
        sliding_window=config.window,
    )
    made: Any = MimiModel(sizes)
    model = made.eval()
    for name, tensor in model.named_parameters():
        if name.endswith("scale"):
            tensor.uniform_(0.2, 0.5)
        elif tensor.ndim > 1:
            tensor.normal_(0, tensor[0].numel() ** -0.5)
        else:
            tensor += 0.1 * torch.randn_like(tensor)
    for name, tensor in model.named_buffers():
        if name.endswith("cluster_usage"):
            tensor.uniform_(0.5, 2)
        elif name.endswith("embed_sum"):
            tensor.normal_(0, 0.5)
    return model


def whole_frames(pcm: Array, config: Config) -> Array:
    """With zeros behind it to the end of a frame."""
    return np.pad(pcm, ((0, 0), (0, -pcm.shape[1] % config.hop_length)))


def codes_of(theirs: Any, pcm: Array, count: int | None = None) -> Codes:
    """Their codes `[num_quantizers, frames]`."""
    found: Codes = theirs.encode(torch.from_numpy(pcm)[None], num_quantizers=count).audio_codes[0].numpy()
    return found


def decoded(theirs: Any, codes: Codes) -> Array:
    """What they make of codes, `[1, samples]`."""
    heard: Array = theirs.decode(torch.from_numpy(codes)[None]).audio_values[0].numpy()
    return heard


@torch.no_grad()
def compare(theirs: Any, ours: Codec, config: Config) -> Iterator[dict[str, Any]]:
    """A row for each sound and number of codebooks."""
    for name, pcm in sounds(config.sample_rate, 1).items():
        pcm = whole_frames(pcm, config)
        for count in (1, 8, config.num_quantizers):
            codes = codes_of(theirs, pcm, count)
            bitrate = ours.spec.bitrate(count)
            yield {"sound": name, "num_quantizers": count} | row(ours, pcm, bitrate, codes, decoded(theirs, codes))


def saved(theirs: Any, folder: Path) -> Path:
    """The file of its weights."""
    theirs.save_pretrained(folder / "theirs")
    return folder / "theirs/model.safetensors"


def main() -> None:
    """Compare, and write the report."""
    write_parity("mimi", VARIANTS, original, saved, compare, "transformers")


if __name__ == "__main__":
    main()
