"""SNAC's models at full size beside those of the package `snac`, both with the same random weights and the same noise.

python -m benchmarks.snac_parity -o docs/results/snac.json
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.originals import SEED, randomize, row, sounds, write_parity
from soundstream.arrays import Array, Codes
from soundstream.codec import Codec
from soundstream.nn.families.snac import VARIANTS, Config
from soundstream.nn.layers.noise import noise_table

SECONDS = 3
"""Length of the longest sound."""
MEASURED = ("24khz", "44khz")
"""The networks of 32 kHz are those of 44.1 kHz."""
GAIN, BRANCH_GAIN, LAST_GAIN = 0.7, 0.3, 2.0
"""Size of kernels with which a signal neither fades nor grows in the networks; the last one is the encoder's."""


@torch.no_grad()
def original(config: Config) -> Any:
    """A model with random weights, alphas, biases and entries."""
    torch.manual_seed(SEED)
    model = import_module("snac").SNAC(
        sampling_rate=config.sample_rate,
        encoder_dim=config.encoder_channels,
        encoder_rates=[*config.strides],
        decoder_dim=config.decoder_channels,
        decoder_rates=[*reversed(config.strides)],
        attn_window_size=config.attention_window or None,
        codebook_size=config.codebook_size,
        codebook_dim=config.codebook_dim,
        vq_strides=[*config.codebook_strides],
    )
    randomize(model, model, _size, _gain)
    _size(model.encoder.block[-1]).mul_(LAST_GAIN)
    latents = model.encoder(0.2 * torch.randn(1, 1, 2 * config.spec().granule * config.hop_length))
    _spread(model.quantizer, latents)
    last = model.decoder.model[-2]
    last.bias.zero_()
    _size(last).div_(model.decoder.model[:-1](latents).abs().max())
    return model.eval()


def _spread(quantizer: Any, latents: Tensor) -> None:
    """Let what each codebook is to code lie around zero, so that many of its entries are found."""
    rest = latents
    for stage in quantizer.quantizers:
        seen = stage.in_proj(nn.functional.avg_pool1d(rest, stage.stride))
        stage.in_proj.bias.sub_(seen.mean(2)[0])
        rest = rest - stage(rest)[0]


def _size(layer: Any) -> Tensor:
    """What weight normalization keeps beside directions."""
    return layer.parametrizations.weight.original0


def _gain(name: str, layer: Any) -> float:
    if isinstance(layer, nn.ConvTranspose1d):
        return GAIN * math.sqrt(layer.stride[0])
    return BRANCH_GAIN if name.endswith((".block.3", ".linear")) and layer.kernel_size[0] == 1 else GAIN


@contextmanager
def our_noise(config: Config) -> Iterator[None]:
    """In it the original takes the noise of our decoder in the place of its own."""
    layers: Any = import_module("snac.layers")
    drawn = iter(range(1 << 30))

    def randn(shape: tuple[int, ...], **_: Any) -> Tensor:
        block, time = next(drawn) % len(config.strides), shape[-1]
        frame = math.prod([*reversed(config.strides)][: block + 1])
        table = noise_table(config.noise_frames * frame, block)
        return table.repeat(-(-time // len(table)))[:time].expand(shape)

    with mock.patch.object(layers, "torch", _With(torch, randn=randn)):
        yield


class _With:
    """A module in which some names mean something else."""

    def __init__(self, module: Any, **others: Any) -> None:
        self._module, self._others = module, others

    def __getattr__(self, name: str) -> Any:
        return self._others[name] if name in self._others else getattr(self._module, name)


def codes_of(theirs: Any, pcm: Array) -> Codes:
    """Their codes `[num_quantizers, frames]`, one in each of the frames that it covers."""
    codes = theirs.encode(torch.from_numpy(pcm)[None])
    repeats = zip(codes, theirs.vq_strides, strict=True)
    return torch.cat([code.repeat_interleave(stride, dim=1) for code, stride in repeats]).numpy()


def decoded(theirs: Any, codes: Codes) -> Array:
    """What they make of codes, `[1, samples]`."""
    parts = zip(torch.from_numpy(codes), theirs.vq_strides, strict=True)
    return theirs.decode([code[None, ::stride] for code, stride in parts])[0].numpy()


@torch.no_grad()
def compare(theirs: Any, ours: Codec, config: Config) -> Iterator[dict[str, Any]]:
    """A row for each sound."""
    for name, pcm in sounds(config.sample_rate, 1, SECONDS).items():
        codes = codes_of(theirs, pcm)
        with our_noise(config):
            heard = decoded(theirs, codes)
        about = {"model": f"{config.sample_rate // 1000} kHz", "sound": name}
        yield about | row(ours, pcm, None, codes, heard)


def saved(theirs: Any, folder: Path) -> Path:
    """The file that the author publishes of a model."""
    torch.save(theirs.state_dict(), folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def main() -> None:
    """Compare, and write the report."""
    write_parity("snac", {name: VARIANTS[name] for name in MEASURED}, original, saved, compare, "snac")


if __name__ == "__main__":
    main()
