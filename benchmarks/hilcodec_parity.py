"""HILCodec at full size beside its authors' code, both with the same random weights.

    git clone https://github.com/aask1357/hilcodec
    pip install einops
    python -m benchmarks.hilcodec_parity --original hilcodec -o docs/results/hilcodec.json

`--golden FOLDER` makes the files of tests/golden instead, of a narrow model of theirs: `hilcodec.pth` as their training
saves it, and in `hilcodec.npz` a sound, its codes, and what they decode to.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.originals import SEED, described, imported, repository_arguments, row, sounds, summary
from soundstream.arrays import Array, Codes
from soundstream.codec import Codec
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.nn.families.hilcodec import VARIANTS, Config

NARROW = Config(
    latent_dim=8,
    num_quantizers=4,
    codebook_size=16,
    encoder_channels=2,
    decoder_channels=2,
    encoder_units=1,
    decoder_units=2,
    strides=(2, 2, 3, 4),
    window=2,
)
"""Of golden files."""
FRAMES = 60
"""Of the golden sound."""


def classes(folder: Path) -> Any:
    """Their module of the model; what it needs only in training, and needs more packages, is not imported."""
    stubs: dict[str, dict[str, Any]] = {
        "models": {"__path__": []},
        "models.hilcodec": {"__path__": [str(folder / "models/hilcodec")]},
        "utils": {"verbose": lambda: False},
        "functional": {"STFT": None},
    }
    for name, contents in stubs.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(contents)
    sys.path.insert(0, str(folder))
    return import_module("models.hilcodec.models")


def original(folder: Path, config: Config) -> Any:
    """A model of theirs with random weights, biases, scales and entries."""
    torch.manual_seed(SEED)
    codebooks = {"dim": config.latent_dim, "codebook_size": config.codebook_size, "kmeans_init": False}
    model = classes(folder).HILCodec(
        sample_rate=config.sample_rate,
        channels_enc=config.encoder_channels,
        channels_dec=config.decoder_channels,
        n_fft_base=config.window,
        n_residual_enc=config.encoder_units,
        n_residual_dec=config.decoder_units,
        res_scale_enc=3**-0.5,
        res_scale_dec=3**-0.5,
        strides=[*reversed(config.strides)],
        spec_compression="log",
        vq_kwargs=codebooks | {"num_quantizers": config.num_quantizers},
    )
    randomize(model.eval(), config)
    return model


@torch.no_grad()
def randomize(model: Any, config: Config) -> None:
    """Scales, which begin at zero, and biases do something; entries are as large as what each codebook is to code."""
    for name, tensor in model.named_parameters():
        if name.endswith("scale_param"):
            tensor.uniform_(0.5, 1)
        elif name.endswith("bias"):
            tensor += 0.1 * torch.randn_like(tensor)
    rest = model.encoder(0.1 * torch.randn(1, 1, 300 * config.hop_length)).transpose(1, 2)
    for layer in model.quantizer.layers:
        around = rest[0, torch.randint(rest.shape[1], (config.codebook_size,))]
        layer.embed.copy_(0.7 * around + 0.1 * torch.randn_like(around) * around.std())
        rest = rest - layer(rest)[0]


def saved(model: Any, folder: Path) -> Path:
    """A file as their training saves it, without what is large."""
    kept = {"scheduler_g": {"last_epoch": 1, "base_lrs": [5e-4]}, "scaler_g": {}, "balancer": {"freq": torch.ones(1)}}
    torch.save({"model": model.state_dict(), "epoch": 1, **kept}, folder / "hilcodec.pth")
    return folder / "hilcodec.pth"


@torch.no_grad()
def codes_of(model: Any, pcm: Array, count: int) -> Codes:
    """Their codes `[num_quantizers, frames]`."""
    latents: Tensor = model.encoder(torch.from_numpy(pcm)[None])
    found: Codes = model.quantizer(latents, count, return_indices=True)[3][0].numpy()
    return found


@torch.no_grad()
def decoded(model: Any, codes: Codes) -> Array:
    """What they make of codes, `[1, samples]`."""
    books = model.quantizer.layers[: len(codes)]
    latents = sum(book.embed[torch.from_numpy(row)] for book, row in zip(books, codes, strict=True))
    heard: Array = model.decoder(latents.T[None].contiguous())[0].numpy()
    return heard


def whole_frames(pcm: Array, config: Config) -> Array:
    """With zeros behind it to the end of a frame."""
    return np.pad(pcm, ((0, 0), (0, -pcm.shape[1] % config.hop_length)))


def compare(model: Any, ours: Codec, config: Config) -> Iterator[dict[str, Any]]:
    """A row for each sound, with all codebooks."""
    for name, pcm in sounds(config.sample_rate, 1, seconds=3).items():
        pcm = whole_frames(pcm, config)
        codes = codes_of(model, pcm, config.num_quantizers)
        bitrate = ours.spec.bitrate(len(codes))
        yield {"sound": name, "num_quantizers": len(codes)} | row(ours, pcm, bitrate, codes, decoded(model, codes))


def make_golden(source: Path, folder: Path) -> None:
    """A narrow model of theirs, a sound, its codes, and what they decode to."""
    model = original(source, NARROW)
    saved(model, folder)
    rng = np.random.default_rng(SEED)
    loudness = np.linspace(0, 0.3, FRAMES * NARROW.hop_length)
    pcm = (loudness * rng.normal(size=(1, loudness.size))).clip(-1, 1).astype(np.float32)
    codes = codes_of(model, pcm, NARROW.num_quantizers)
    heard = decoded(model, codes)
    np.savez_compressed(folder / "hilcodec.npz", pcm=pcm, codes=codes.astype(np.uint8), heard=heard)


def main() -> None:
    """Compare, and write a report; or make golden files."""
    arguments = repository_arguments("folder of the golden files, which are")
    if arguments.golden:
        return make_golden(arguments.original, arguments.golden)
    rows = []
    for variant, config in VARIANTS.items():
        model = original(arguments.original, config)
        with imported("hilcodec", variant, partial(saved, model)) as ours:
            rows += [{"model": variant} | each for each in compare(model, ours, config)]
            model_id = ours.model_id.hex()
    write_report(arguments.output, provenance(model_id, described("einops")) | summary(rows) | {"rows": rows})
    print(summary(rows))


if __name__ == "__main__":
    main()
