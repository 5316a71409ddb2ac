"""DualCodec's models at full size beside those of the package `dualcodec`, with the same random weights and features.

pip install --no-deps dualcodec easydict
python -m benchmarks.dualcodec_parity -o docs/results/dualcodec.json
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.originals import SEED, randomize, row, sounds, write_parity
from soundstream.arrays import Array, Codes
from soundstream.codec import Codec
from soundstream.nn.families.dualcodec import VARIANTS, Config

SECONDS = 6
"""Length of the longest sound; a chunk and its context are longer."""
GAIN, BRANCH_GAIN, LAST_GAIN = 0.7, 0.3, 2.0
"""Size of kernels with which a signal neither fades nor grows in the networks; the last one is the encoder's."""


def package() -> Any:
    """The original's module of networks, with empty modules in the place of those that it does not use here."""
    base = type("BaseModel", (nn.Module,), {"INTERN": [], "EXTERN": []})
    audio = {"AudioSignal": object, "STFTParams": object, "ml": stub(BaseModel=base, Accelerator=object)}
    unused = {
        "audiotools": stub(**audio),
        "audiotools.ml": audio["ml"],
        "audiotools.core": stub(util=stub()),
        "audiotools.core.util": stub(),
        "torchaudio": stub(),
        "torchaudio.transforms": stub(),
        "torchaudio.functional": stub(),
        "cached_path": stub(cached_path=None),
    }
    with mock.patch.dict(sys.modules, unused):
        return import_module("dualcodec.model_codec.dualcodec_model")


def stub(**members: Any) -> ModuleType:
    found = ModuleType("unused")
    vars(found).update(members)
    return found


def original(config: Config) -> Any:
    """A model as they start it; of other widths than theirs where the config says so."""
    torch.manual_seed(SEED)
    with warnings.catch_warnings(action="ignore"):  # that it uses what PyTorch has in another form now
        return _original(package(), config)


def _original(networks: Any, config: Config) -> Any:
    made = networks.DualCodec(
        encoder_dim=config.encoder_channels,
        encoder_rates=[*config.strides],
        latent_dim=config.acoustic.latent_dim,
        decoder_dim=config.decoder_channels,
        decoder_rates=[*reversed(config.strides)],
        n_codebooks=config.num_quantizers - 1,
        codebook_size=config.acoustic_size,
        semantic_codebook_size=config.codebook_size,
        codebook_dim=config.codebook_dim,
        semantic_codebook_dim=config.codebook_dim,
        sample_rate=config.sample_rate,
        convnext_dim=config.semantic_channels,
        convnext_layers=config.semantic_blocks,
        is_causal=True,
    )
    width = config.semantic_channels
    for part in (made.convnext_encoder, made.convnext_decoder):
        for place, layer in enumerate(part):
            if isinstance(layer, networks.ConvNeXtBlock):
                part[place] = networks.ConvNeXtBlock(width, config.feedforward, is_causal=True)
    made.convnext_encoder[0] = networks.WNConv1d(config.feature_channels, width, kernel_size=1)
    made.convnext_decoder[-1] = networks.WNConv1d(width, config.acoustic.latent_dim, kernel_size=1)
    return made.eval()


@torch.no_grad()
def at_random(config: Config) -> Any:
    """A model with random weights, alphas, biases and entries, that makes sound of all its codes."""
    model = original(config)
    randomize(model, model.dac, size_of, gain_of)
    model.dac.encoder.block[-1].weight_g.mul_(LAST_GAIN)
    frames = 50
    semantic = model.convnext_encoder(torch.from_numpy(features(frames, config))[None])
    spread(model.semantic_vq, semantic)
    made = model.convnext_decoder(model.semantic_vq(semantic)[0])
    spread(model.dac.quantizer, model.dac.encoder(0.2 * torch.randn(1, 1, frames * config.hop_length)) - made)
    last = model.dac.decoder.model[-2]
    last.bias.zero_()
    last.weight_g.div_(model.dac.decoder.model[:-1](made).abs().max())
    return model


def spread(quantizer: Any, rest: Tensor) -> None:
    """Let entries be as large as what they code, around its mean, so that many of them are found."""
    for stage in quantizer.quantizers:
        seen = stage.in_proj(rest)
        stage.in_proj.bias.sub_(seen.mean(2)[0])
        stage.codebook.weight.normal_(0, float(seen.std(2).mean()))
        rest = rest - stage(rest)[0]


def size_of(layer: Any) -> Tensor:
    """What weight normalization keeps beside directions."""
    return layer.get_parameter("weight_g")


def gain_of(name: str, layer: Any) -> float:
    if isinstance(layer, nn.ConvTranspose1d):
        return GAIN * math.sqrt(layer.stride[0])
    return BRANCH_GAIN if name.endswith(".block.3") and layer.kernel_size[0] == 1 else GAIN


def features(frames: int, config: Config) -> Array:
    """What stands for those of a model of speech, `[feature_channels, frames]`."""
    return np.random.default_rng(SEED).normal(size=(config.feature_channels, frames)).astype(np.float32)


def frames_of(pcm: Array, config: Config) -> int:
    """Frames of a sound."""
    return -(-pcm.shape[1] // config.hop_length)


@torch.no_grad()
def codes_of(theirs: Any, pcm: Array, given: Array, count: int | None = None) -> Codes:
    """Their codes `[num_quantizers, frames]`."""
    sound, semantic = torch.from_numpy(pcm)[None], torch.from_numpy(given)[None]
    found = theirs.encode(sound, count, semantic_repr=semantic)
    codes: Codes = torch.cat([part[0] for part in found if part is not None]).numpy()
    return codes


@torch.no_grad()
def decoded(theirs: Any, codes: Codes) -> Array:
    """What they make of codes, `[1, samples]`."""
    semantic, acoustic = torch.from_numpy(codes)[None].tensor_split([1], dim=1)
    heard: Array = theirs.decode_from_codes(semantic, acoustic if acoustic.shape[1] else None)[0].numpy()
    return heard


def compare(theirs: Any, ours: Codec, config: Config) -> Iterator[dict[str, Any]]:
    """A row for each sound and number of codebooks."""
    variant = next(name for name, known in VARIANTS.items() if known == config)
    for name, pcm in sounds(config.sample_rate, 1, SECONDS).items():
        given = features(frames_of(pcm, config), config)
        for count in (1, config.num_quantizers):
            codes = codes_of(theirs, pcm, given, count)
            about = {"model": variant, "sound": name, "num_quantizers": count}
            bitrate = ours.spec.bitrate(count)
            yield about | row(ours, pcm, bitrate, codes, decoded(theirs, codes), features=given)


def saved(theirs: Any, folder: Path) -> Path:
    """A file as they publish them."""
    save_file(theirs.state_dict(), folder / "dualcodec.safetensors")
    return folder / "dualcodec.safetensors"


def main() -> None:
    """Import the weights of random models of the original package, and write the report."""
    write_parity("dualcodec", VARIANTS, at_random, saved, compare, "dualcodec", "made sounds and features")


if __name__ == "__main__":
    main()
