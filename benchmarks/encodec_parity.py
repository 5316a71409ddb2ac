"""EnCodec's 24 kHz model at full size beside EncodecModel of `transformers`, both with the same random weights.

python -m benchmarks.encodec_parity -o docs/results/encodec.json
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from soundstream.evaluate.provenance import provenance, write_report
from soundstream.export.published import import_published
from soundstream.runtime.artifact import load_artifact
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import DecoderStream, EncoderStream, LatentStream, Model

Array = NDArray[np.float32]
RATES = (1500, 3000, 6000, 12_000, 24_000)
SEED = 0
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


def sounds() -> dict[str, Array]:
    """What is coded, `[1, samples]` at 24 kHz, by name."""
    rng = np.random.default_rng(SEED)
    made = {
        "noise, 10 s": 0.2 * rng.normal(size=(1, 240_000)),
        "noise, 10,007 samples": 0.2 * rng.normal(size=(1, 10_007)),
        "noise, 24,001 samples": 0.2 * rng.normal(size=(1, 24_001)),
        "one sample": np.full((1, 1), 0.5),
        "silence": np.zeros((1, 24_000)),
        "full scale": np.sign(rng.uniform(-1, 1, (1, 24_000))),
    }
    return {name: pcm.astype(np.float32) for name, pcm in made.items()}


@torch.no_grad()
def compare(theirs: Any, ours: Model) -> Iterator[dict[str, Any]]:
    """A row for each sound and rate."""
    for name, pcm in sounds().items():
        for bitrate in RATES:
            codes = theirs.encode(torch.from_numpy(pcm)[None], bandwidth=bitrate / 1000).audio_codes[0]
            stream = EncoderStream(ours, 1, EncodeOptions(bitrate, effort=1))
            found = np.concatenate([stream.push(pcm), stream.flush()], axis=2)
            heard = theirs.decode(codes[None], [None]).audio_values[0].numpy()
            decoded = DecoderStream(ours, 1).push(codes.numpy())
            yield {
                "sound": name,
                "bitrate": bitrate,
                "codes": codes.numel(),
                "codes_used": len(codes[:, 0].unique()),
                "codes_equal": round(float((found == codes.numpy()).mean()), 6),
                "latents_difference": _largest(_latents(ours, pcm), theirs.encoder(torch.from_numpy(pcm)[None])),
                "audio_difference": _largest(decoded, heard),
                "audio_peak": round(float(np.abs(heard).max()), 4),
            }


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """What holds for all rows."""
    return {
        "codes": sum(row["codes"] for row in rows),
        "codes_other": sum(round(row["codes"] * (1 - row["codes_equal"])) for row in rows),
        "least_codes_equal": min(row["codes_equal"] for row in rows),
        "most_audio_difference": max(row["audio_difference"] for row in rows),
    }


def _latents(model: Model, pcm: Array) -> Array:
    stream = LatentStream(model, 1)
    return np.concatenate([stream.push(pcm), stream.flush()], axis=2)


def _largest(found: Array, expected: Any) -> float:
    """The largest difference; of two that are not alike in shape infinity."""
    expected = np.asarray(expected)
    return float(f"{np.abs(found - expected).max():.3g}") if found.shape == expected.shape else float("inf")


def main() -> None:
    """Import the weights that `transformers` saves, and write the report."""
    parser = argparse.ArgumentParser(description="Compare EnCodec with the original.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    words = parser.parse_args()
    torch.set_num_threads(1)
    theirs = original()
    with TemporaryDirectory() as work:
        theirs.save_pretrained(work)
        folder = Path(work) / "artifact"
        model_id = import_published("encodec", "24khz", Path(work) / "model.safetensors", folder)
        rows = list(compare(theirs, Model(load_artifact(folder))))
    names = f"transformers {version('transformers')}, torch {version('torch')}, onnxruntime {version('onnxruntime')}"
    report = provenance(model_id, f"made sounds; random weights of seed {SEED}; {names}")
    write_report(words.output, report | summary(rows) | {"rows": rows})


if __name__ == "__main__":
    main()
