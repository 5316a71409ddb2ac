"""DAC's models at full size beside DacModel of `transformers`, both with the same random weights.

python -m benchmarks.dac_parity -o docs/results/dac.json
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.originals import SEED, difference, latents_of, row, sounds, write_parity
from soundstream.arrays import Array
from soundstream.codec import Codec
from soundstream.nn.families.dac import VARIANTS, Config

MEASURED = ("24khz", "44khz")
"""Those of 16 kHz and of 44.1 kHz at 16 kbit/s have the same layers, in fewer codebooks or latents."""
MAX_S = 2
"""Longer sounds are left out: the original takes five times as long as the sound."""
EVERY = "noise, 10,007 samples"
"""What is coded with several numbers of codebooks."""
GAIN, BRANCH_GAIN, LAST_GAIN = 0.7, 0.3, 2.0
"""Size of kernels with which a signal neither fades nor grows in the networks; the last one is the encoder's."""


@torch.no_grad()
def original(config: Config) -> Any:
    """A model with random weights, alphas, biases and entries, which stand where its latents do."""
    torch.manual_seed(SEED)
    module = import_module("transformers")
    settings = module.DacConfig(
        sampling_rate=config.sample_rate,
        encoder_hidden_size=config.encoder_channels,
        decoder_hidden_size=config.decoder_channels,
        hidden_size=config.latent_dim,
        downsampling_ratios=[*config.strides],
        upsampling_ratios=[*reversed(config.strides)],
        n_codebooks=config.num_quantizers,
    )
    model = module.DacModel(settings).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith("alpha"):
            tensor.copy_(1 + 0.3 * torch.randn_like(tensor))
        elif name.endswith("bias"):
            tensor.normal_(0, 0.05)
        elif not name.startswith("quantizer"):
            tensor.normal_(0, _deviation(name, tensor))
    _spread(model, config)
    return model


def _deviation(name: str, kernel: Tensor) -> float:
    """Of a kernel's values."""
    if "conv_t" in name:  # two of whose taps meet in each sample
        return GAIN / (2 * len(kernel)) ** 0.5
    gain = LAST_GAIN if name == "encoder.conv2.weight" else BRANCH_GAIN if "conv2" in name else GAIN
    return gain / kernel[0].numel() ** 0.5


def _spread(model: Any, config: Config) -> None:
    """Let entries be as large as what they code, around its mean, and decoded sound reach full scale."""
    rest = latents = model.encoder(0.2 * torch.randn(1, 1, 100 * config.hop_length))
    for stage in model.quantizer.quantizers:
        seen = stage.in_proj(rest)
        stage.in_proj.bias.sub_(seen.mean(2)[0])
        stage.codebook.weight.normal_(0, float(seen.std(2).mean()))
        rest = rest - stage(rest)[0]
    hidden = model.decoder.snake1.register_forward_hook(lambda _, given, found: seen_last.append(found))
    seen_last: list[Tensor] = []
    model.decoder(latents)
    hidden.remove()
    last = model.decoder.conv2
    last.bias.zero_()
    last.weight.div_(last(seen_last[0]).abs().max())


def whole_hops(pcm: Array, hop: int) -> Tensor:
    """`[1, 1, samples]` with zeros up to a whole hop, as the authors' program has it; `transformers` cuts instead."""
    return torch.from_numpy(np.pad(pcm, ((0, 0), (0, -pcm.shape[1] % hop))))[None]


@torch.no_grad()
def compare(theirs: Any, ours: Codec, config: Config) -> Iterator[dict[str, Any]]:
    """A row for each sound, and for a noise at several numbers of codebooks."""
    every = sorted({1, 2, 4, 8, 16, config.num_quantizers} & {*range(config.num_quantizers + 1)})
    for name, pcm in sounds(config.sample_rate, 1).items():
        if pcm.shape[1] > MAX_S * config.sample_rate:
            continue
        whole = whole_hops(pcm, config.hop_length)
        latents = difference(latents_of(ours.model, pcm), theirs.encoder(whole))
        for count in every if name == EVERY else [config.num_quantizers]:
            codes = theirs.encode(whole, n_quantizers=count).audio_codes
            heard = theirs.decode(audio_codes=codes).audio_values.numpy()
            bitrate = ours.spec.bitrate(count)
            yield (
                {"model": f"{config.sample_rate / 1000:g} kHz", "sound": name, "bitrate": bitrate}
                | row(ours, pcm, bitrate, codes[0].numpy(), heard)
                | {"latents_difference": latents}
            )


def saved(theirs: Any, folder: Path) -> Path:
    """The file that `transformers` makes of a model."""
    theirs.save_pretrained(folder)
    return folder / "model.safetensors"


def main() -> None:
    """Compare, and write the report."""
    write_parity("dac", {name: VARIANTS[name] for name in MEASURED}, original, saved, compare, "transformers")


if __name__ == "__main__":
    main()
