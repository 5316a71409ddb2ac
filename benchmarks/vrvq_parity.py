"""VRVQ at full size beside its authors' code, both with the same random weights.

    git clone https://github.com/SonyResearch/VRVQ
    pip install einops
    python -m benchmarks.vrvq_parity --original VRVQ -o docs/results/vrvq.json

`--golden FILE` makes tests/golden/vrvq.npz instead, of the narrow weights of tests/vrvq_weights.py, with that folder on
the path: a sound, its codes and importance, and what it decodes to at a level.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from benchmarks.dualcodec_parity import LAST_GAIN, gain_of, size_of, spread, stub
from benchmarks.originals import (
    SEED,
    described,
    difference,
    imported,
    randomize,
    repository_arguments,
    sound_of,
    sounds,
    summary,
)
from soundstream.arrays import Array, Codes
from soundstream.bitstream import Reader
from soundstream.codec import Codec
from soundstream.entropy.grid import ABSENT
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.nn.families.vrvq import VARIANTS, Config

LEVELS, EVERY = (0.2, 1.0, 4.0), "noise, 10,007 samples"
"""What a sound is coded at; the others at the level between."""
SECONDS = 3
"""Length of the longest sound."""
GOLDEN_FRAMES, GOLDEN_LEVEL = 40, 1.0


def classes(folder: Path) -> Any:
    """Their module of the model, with empty modules in the place of those that it does not use here."""
    base = type("BaseModel", (nn.Module,), {})
    audio = stub(AudioSignal=object, ml=stub(BaseModel=base))
    unused = {"audiotools": audio, "audiotools.ml": stub(BaseModel=base), "torchmetrics": stub(), "tqdm": stub()}
    with mock.patch.dict(sys.modules, unused), mock.patch.object(sys, "path", [str(folder), *sys.path]):
        return import_module("models.dac_vrvq")


def original(folder: Path, config: Config) -> Any:
    """A model as they start it; the importance network has the channels that theirs always has."""
    torch.manual_seed(SEED)
    networks = classes(folder)
    with mock.patch.object(networks.DAC_VRVQ, "get_delay", lambda model: 0):
        model = networks.DAC_VRVQ(
            encoder_dim=config.encoder_channels,
            encoder_rates=[*config.strides],
            latent_dim=config.latent_dim,
            decoder_dim=config.decoder_channels,
            decoder_rates=[*reversed(config.strides)],
            n_codebooks=config.num_quantizers,
            codebook_size=config.codebook_size,
            codebook_dim=config.codebook_dim,
            sample_rate=config.sample_rate,
            level_min=0.125,
            level_max=6,
        )
    return model.eval()


@torch.no_grad()
def at_random(folder: Path, config: Config) -> Any:
    """A model with random weights, alphas, biases and entries, whose frames differ in importance."""
    model = original(folder, config)
    randomize(model, model, size_of, gain_of)
    model.encoder.block[-1].weight_g.mul_(LAST_GAIN)
    loudness = torch.linspace(0, 0.4, 50 * config.hop_length)
    latents, seen = model.encoder(loudness * torch.randn(1, 1, len(loudness)), return_feat=True)
    spread(model.quantizer, latents)
    _part(model.quantizer.imp_subnet, seen)
    last = model.decoder.model[-2]
    last.bias.zero_()
    last.weight_g.div_(model.decoder.model[:-1](latents).abs().max())
    return model


def _part(network: Any, seen: torch.Tensor) -> None:
    """Let what the last layer of the importance network gives lie around 0, with a deviation of 1."""
    told = network(seen).logit()
    last = network.blocks[-1][1]
    last.weight_g.div_(told.std())
    last.bias.copy_((last.bias - told.mean()) / told.std())


def saved(model: Any, folder: Path) -> Path:
    """A file as their training saves it."""
    torch.save({"state_dict": model.state_dict(), "metadata": {"kwargs": {"model_type": "VBR"}}}, folder / "w.pth")
    return folder / "w.pth"


@torch.no_grad()
def coded(model: Any, pcm: Array, level: float) -> tuple[Codes, Array, Array]:
    """Their codes at a level, -1 where a frame has none, their importance `[frames]`, and what they decode it to."""
    found = SimpleNamespace(**model.encode(torch.from_numpy(pcm)[None], level=level))
    codes: Codes = np.where(found.mask_imp[0].numpy() > 0, found.codes[0].numpy(), ABSENT)
    heard: Array = model.decode(found.z_q)[0].numpy()
    return codes, found.imp_map[0, 0].numpy(), heard


def whole_frames(pcm: Array, config: Config) -> Array:
    """With zeros behind it to the end of a frame."""
    return np.pad(pcm, ((0, 0), (0, -pcm.shape[1] % config.hop_length)))


def codes_of(ours: Codec, data: bytes) -> Codes:
    """Codes of a file of one channel, -1 where a frame has none."""
    reader = Reader(io.BytesIO(data))
    found: Codes = np.concatenate([*ours.coding.unpack(reader, reader.header)], axis=2)[0]
    return found


def compare(model: Any, ours: Codec, config: Config) -> Iterator[dict[str, Any]]:
    """A row for each sound and level: codes and counts of a file beside theirs, and our sound of theirs."""
    for name, pcm in sounds(config.sample_rate, 1, seconds=SECONDS).items():
        pcm = whole_frames(pcm, config)
        for level in LEVELS if name == EVERY else LEVELS[1:2]:
            codes, _, heard = coded(model, pcm, level)
            found = codes_of(ours, ours.encode(pcm, config.sample_rate, quality=level, effort=1))
            counts, theirs = ((each >= 0).sum(axis=0) for each in (found, codes))
            both = (found >= 0) & (codes >= 0)
            yield {
                "sound": name,
                "level": level,
                "frames": len(counts),
                "mean_count": round(float(theirs.mean()), 3),
                "counts_other": int((counts != theirs).sum()),
                "codes": int(both.sum()),
                "codes_equal": round(float((found == codes)[both].mean()), 6),
                "audio_difference": difference(sound_of(ours, codes), heard),
            }


def make_golden(folder: Path, path: Path) -> None:
    """A sound, its codes and importance by their code with narrow weights, and what it decodes to."""
    weights = import_module("vrvq_weights")
    config = weights.THEIRS
    model = original(folder, config)
    model.load_state_dict(weights.published(config))
    rng = np.random.default_rng(SEED)
    level = 0.3 * np.sin(np.linspace(0, 3 * np.pi, GOLDEN_FRAMES * config.hop_length)) ** 2
    pcm = (level * rng.normal(size=(1, level.size))).clip(-1, 1).astype(np.float32)
    codes, importance, heard = coded(model, pcm, GOLDEN_LEVEL)
    np.savez_compressed(path, pcm=pcm, codes=codes.astype(np.int8), importance=importance, heard=heard)


def main() -> None:
    """Compare, and write a report; or make the golden file."""
    arguments = repository_arguments("the golden file, which is")
    torch.set_num_threads(1)
    if arguments.golden:
        return make_golden(arguments.original, arguments.golden)
    config = VARIANTS["44khz"]
    model = at_random(arguments.original, config)
    with imported("vrvq", "44khz", partial(saved, model)) as ours:
        rows, model_id = [*compare(model, ours, config)], ours.model_id.hex()
    totals = {name: sum(row[name] for row in rows) for name in ("frames", "counts_other")}
    write_report(arguments.output, provenance(model_id, described("einops")) | summary(rows) | totals | {"rows": rows})
    print(summary(rows) | totals)


if __name__ == "__main__":
    main()
