"""EnCodec's models at full size beside EncodecModel of `transformers`, both with the same random weights.

python -m benchmarks.encodec_parity -o docs/results/encodec.json
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import originals
from benchmarks.originals import SEED, described, difference, latents_of, row, sounds, summary
from soundstream.arrays import Array
from soundstream.codec import Codec
from soundstream.evaluate.provenance import provenance, write_report

RATES = (1500, 3000, 6000, 12_000, 24_000)
"""Of the 24 kHz model."""
GAIN = 1.4
"""Size of kernels with which a signal does not fade in the networks."""


STEREO = {
    "sampling_rate": 48_000,
    "audio_channels": 2,
    "normalize": True,
    "chunk_length_s": 1.0,
    "overlap": 0.01,
    "use_causal_conv": False,
    "norm_type": "time_group_norm",
    "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
}
"""What `EncodecConfig` calls the settings of the 48 kHz model."""
VARIANTS: dict[str, dict[str, Any]] = {"24khz": {}, "48khz": STEREO}
"""Settings of the published models, where they are not the defaults."""


@torch.no_grad()
def original(**settings: Any) -> Any:
    """A model with random weights, biases and norms, and entries that stand where its latents do.

    Args:
        settings: of `EncodecConfig`, where they are not those of the published 24 kHz model.
    """
    torch.manual_seed(SEED)
    module = import_module("transformers")
    model = module.EncodecModel(module.EncodecConfig(**settings)).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith("original0"):
            tensor.copy_(GAIN * (1 + 0.1 * torch.randn_like(tensor)))
        elif name.endswith("norm.weight"):
            tensor *= 1 + 0.1 * torch.randn_like(tensor)
        elif name.endswith("bias"):
            tensor += 0.1 * torch.randn_like(tensor)
    channels, normalized = model.config.audio_channels, model.config.normalize
    latents = model.encoder((1.0 if normalized else 0.2) * torch.randn(1, channels, 24_000))[0].T
    for i, layer in enumerate(model.quantizer.layers):
        entries = torch.randn_like(layer.codebook.embed) * latents.std(0) + (0 if i else latents.mean(0))
        layer.codebook.embed.copy_(0.9**i * entries)
        layer.codebook.inited.fill_(1)
    loudest = model.decoder(latents.T[None]).abs().max()
    last = model.decoder.layers[-1]
    for size in (last.norm.weight, last.norm.bias) if normalized else (_kernel_size(last), last.conv.bias):
        size /= loudest
    return model


def _kernel_size(layer: Any) -> torch.Tensor:
    """What weight normalization keeps beside directions."""
    return layer.conv.parametrizations.weight.original0


def joined(theirs: Any, frames: list[int]) -> tuple[NDArray[np.int64], Array]:
    """Codes `[num_quantizers, frames]` and gains `[1, frames]` of segments of so many frames each."""
    codes = [part[0, :, :count].numpy() for part, count in zip(theirs.audio_codes, frames, strict=True)]
    gains = [
        np.full((1, count), gain.item(), np.float32) for gain, count in zip(theirs.audio_scales, frames, strict=True)
    ]
    return np.concatenate(codes, axis=1), np.concatenate(gains, axis=1)


def decoded(model: Any, theirs: Any, frames: list[int]) -> Array:
    """What the original makes of its own codes, `[channels, samples]`; short segments are not filled up."""
    short = frames[0] - frames[-1]
    return model.decode(theirs.audio_codes, theirs.audio_scales, last_frame_pad_length=short).audio_values[0].numpy()


@torch.no_grad()
def compare(theirs: Any, ours: Codec) -> Iterator[dict[str, Any]]:
    """A row for each sound and rate."""
    rate, stereo = ours.spec.sample_rate, ours.spec.channels == 2
    for name, pcm in sounds(rate, ours.spec.channels).items():
        for kilobits in theirs.config.target_bandwidths:
            yield {"model": f"{rate // 1000} kHz", "sound": name, "bitrate": int(1000 * kilobits)} | (
                _segments(theirs, ours, pcm, kilobits) if stereo else _whole(theirs, ours, pcm, kilobits)
            )


def _whole(theirs: Any, ours: Codec, pcm: Array, kilobits: float) -> dict[str, Any]:
    codes = theirs.encode(torch.from_numpy(pcm)[None], bandwidth=kilobits).audio_codes[0, 0].numpy()
    heard = theirs.decode(torch.from_numpy(codes)[None, None], [None]).audio_values[0].numpy()
    latents = difference(latents_of(ours.model, pcm), theirs.encoder(torch.from_numpy(pcm)[None]))
    return row(ours, pcm, int(1000 * kilobits), codes, heard) | {"latents_difference": latents}


def _segments(theirs: Any, ours: Codec, pcm: Array, kilobits: float) -> dict[str, Any]:
    coded, frames = theirs.encode(torch.from_numpy(pcm)[None], bandwidth=kilobits), ours.spec.segments_of(pcm.shape[1])
    codes, gains = joined(coded, frames)
    heard = decoded(theirs, coded, frames)[:, : pcm.shape[1]]
    return row(ours, pcm, int(1000 * kilobits), codes, heard, gains)


@contextmanager
def imported(theirs: Any, variant: str) -> Iterator[Codec]:
    """Our model of the weights that `transformers` saves."""

    def saved(folder: Path) -> Path:
        theirs.save_pretrained(folder)
        return folder / "model.safetensors"

    with originals.imported("encodec", variant, saved) as codec:
        yield codec


def main() -> None:
    """Import the weights that `transformers` saves, and write the report."""
    parser = argparse.ArgumentParser(description="Compare EnCodec with the original.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, ids = [], []
    for variant, settings in VARIANTS.items():
        theirs = original(**settings)
        with imported(theirs, variant) as ours:
            rows += list(compare(theirs, ours))
            ids.append(ours.model_id.hex())
    report = provenance(", ".join(ids), f"made sounds; {described('transformers')}")
    write_report(args.output, report | summary(rows) | {"rows": rows})


if __name__ == "__main__":
    main()
