"""What benchmarks of imported models share: made sounds, and rows that compare a model here with its original."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from soundstream.arrays import Array, Codes
from soundstream.codec import Codec, flatten_codes, load
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.evaluate.speed.timing import TimedPart, cpu_seconds
from soundstream.export.published import import_published
from soundstream.runtime.model import Model
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import DecoderStream, EncoderStream, LatentStream

SEED = 0
"""Of random weights and made sounds."""
ENCODE, DECODE = "encode", "decode"


def sounds(sample_rate: int, channels: int, seconds: int = 10) -> dict[str, Array]:
    """What is coded, `[channels, samples]`, by name; one of them lasts so long, the others a second or less."""
    rng = np.random.default_rng(SEED)
    second = sample_rate
    made = {
        f"noise, {seconds} s": 0.2 * rng.normal(size=(channels, seconds * second)),
        "noise, 10,007 samples": 0.2 * rng.normal(size=(channels, 10_007)),
        "noise, a second and a sample": 0.2 * rng.normal(size=(channels, second + 1)),
        "one sample": np.full((channels, 1), 0.5),
        "silence": np.zeros((channels, second)),
        "full scale": np.sign(rng.uniform(-1, 1, (channels, second))),
    }
    return {name: pcm.astype(np.float32) for name, pcm in made.items()}


def row(
    ours: Codec,
    pcm: Array,
    bitrate: int | None,
    codes: Codes,
    heard: Array,
    gains: Array | None = None,
    features: Array | None = None,
) -> dict:
    """Our codes beside theirs, and our sound of theirs beside their own."""
    found, side = ours.split_codes(ours.to_codes(pcm, ours.spec.sample_rate, bitrate, features, effort=1))
    given = codes if gains is None else ours.join_codes(codes, gains)
    of_gains = {} if gains is None else {"gains_difference": difference(side, gains)}
    samples = min(heard.shape[1], codes.shape[1] * ours.spec.hop_length)
    strides = ours.spec.strides[: len(codes)]
    flat = [flatten_codes(each, strides) for each in (found, codes)]
    return {
        "codes": flat[1].size,
        "codes_used": len(np.unique(codes[0])),
        "codes_equal": round(float((flat[0] == flat[1]).mean()), 6),
        "audio_difference": difference(sound_of(ours, given)[:, :samples], heard),
        "audio_peak": round(float(np.abs(heard).max()), 4),
    } | of_gains


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """What holds for all rows."""
    return {
        "codes": sum(row["codes"] for row in rows),
        "codes_other": sum(round(row["codes"] * (1 - row["codes_equal"])) for row in rows),
        "least_codes_equal": min(row["codes_equal"] for row in rows),
        "most_audio_difference": max(row["audio_difference"] for row in rows),
    }


def latents_of(model: Model, pcm: Array) -> Array:
    """Latents of a whole sound."""
    stream = LatentStream(model, len(pcm))
    return np.concatenate([stream.push(pcm), stream.flush()], axis=2)


def sound_of(codec: Codec, codes: Codes) -> Array:
    """Decoded as the network gives it, whatever its peaks."""
    stream = DecoderStream(codec.model, codec.spec.channels)
    return np.concatenate([stream.push(codes[None]), stream.flush()], axis=1)


def difference(found: Array, expected: Any) -> float:
    """The largest difference; of two that are not alike in shape infinity."""
    expected = np.asarray(expected)
    return float(f"{np.abs(found - expected).max():.3g}") if found.shape == expected.shape else float("inf")


@contextmanager
def imported(family: str, variant: str, save: Callable[[Path], Path]) -> Iterator[Codec]:
    """Our model of the weights that `save` writes into a folder, whose file it names."""
    with TemporaryDirectory() as work:
        folder = Path(work) / "artifact"
        import_published(family, variant, save(Path(work)), folder)
        yield load(folder, postfilter=False)


def write_parity(
    family: str,
    variants: Mapping[str, Any],
    original: Callable[[Any], Any],
    saved: Callable[[Any, Path], Path],
    compare: Callable[[Any, Codec, Any], Iterable[dict[str, Any]]],
    package: str,
    data: str = "made sounds",
) -> None:
    """The command of a comparison: import the weights of random models of another package, and write the report.

    Args:
        variants: settings by name, of those that are compared.
        original: the other package's model of some settings, with random weights.
        saved: as `imported`, of such a model.
        compare: rows of it, ours and the settings.
        data: what both are given.
    """
    parser = argparse.ArgumentParser(description=f"Compare {family} with the original.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, ids = [], []
    for variant, config in variants.items():
        theirs = original(config)
        with imported(family, variant, partial(saved, theirs)) as ours:
            rows += list(compare(theirs, ours, config))
            ids.append(ours.model_id.hex())
    report = provenance(", ".join(ids), f"{data}; {described(package)}")
    write_report(args.output, report | summary(rows) | {"rows": rows})


@torch.no_grad()
def randomize(
    model: nn.Module,
    networks: nn.Module,
    size_of: Callable[[Any], Tensor],
    gain_of: Callable[[str, Any], float],
) -> None:
    """Let alphas and biases of a model do something, and kernels of its networks keep the size of signals.

    Args:
        size_of: what weight normalization keeps of a layer beside directions.
        gain_of: how large a layer's kernels are, by its name.
    """
    for name, tensor in model.state_dict().items():
        if name.endswith("alpha"):
            tensor.copy_(1 + 0.3 * torch.randn_like(tensor))
        elif name.endswith("bias"):
            tensor += 0.1 * torch.randn_like(tensor)
    for name, layer in networks.named_modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            size = size_of(layer)
            size.copy_(gain_of(name, layer) * (1 + 0.1 * torch.randn_like(size)))


def repository_arguments(golden: str) -> argparse.Namespace:
    """Of a comparison with code of an authors' repository: `original`, and `output` for a report or else `golden`.

    Args:
        golden: what `--golden` names, in words.
    """
    parser = argparse.ArgumentParser(description="Compare with the original.")
    parser.add_argument("--original", type=Path, required=True, help="folder of the authors' repository")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--golden", type=Path, help=f"{golden} made instead")
    arguments = parser.parse_args()
    if not (arguments.golden or arguments.output):
        parser.error("give -o for the report, or --golden")
    return arguments


def described(package: str) -> str:
    """Where the weights come from, and what computed with them."""
    names = [package, "torch", "onnxruntime"]
    return f"random weights of seed {SEED}; {', '.join(f'{name} {version(name)}' for name in names)}"


def timed(
    ours: Codec, pcm: Array, bitrate: int | None, encode: Callable[[], Any], decode: Callable[[], Any], program: str
) -> Iterator[TimedPart]:
    """Both programs each way: the clip in one call, and ours frame by frame where it can.

    Args:
        encode, decode: what the other program does with the clip, and with its codes.
    """
    spec = ours.spec
    yield TimedPart(program, ENCODE, "offline", encode)
    yield TimedPart(program, DECODE, "offline", decode)
    codes = ours.to_codes(pcm, spec.sample_rate, bitrate, effort=1)[None]
    for mode, samples, count in (("offline", pcm.shape[1], codes.shape[2]), ("hops", spec.hop_length, 1)):
        if mode == "offline" or spec.is_causal:
            yield TimedPart("soundstream", ENCODE, mode, _pushing(lambda: _encoder(ours, bitrate), pcm, samples))
            yield TimedPart("soundstream", DECODE, mode, _pushing(lambda: _decoder(ours), codes, count))


def _pushing(start: Callable[[], Any], items: NDArray[Any], length: int) -> Callable[[], None]:
    """A function that begins anew, pushes the items, so many at once, and flushes."""

    def run() -> None:
        stream = start()
        for place in range(0, items.shape[-1], length):
            stream.push(items[..., place : place + length])
        stream.flush()

    return run


def _encoder(codec: Codec, bitrate: int | None) -> EncoderStream:
    return EncoderStream(codec.model, codec.spec.channels, EncodeOptions(bitrate, effort=1), wait=False)


def _decoder(codec: Codec) -> DecoderStream:
    return DecoderStream(codec.model, codec.spec.channels)


def speed_rows(parts: list[TimedPart], model: str, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Times real time of each part, and how many times as fast it is as the other program's, the first of its kind."""
    spent = cpu_seconds([part.run for part in parts], rounds)
    slow = {part.part: took for part, took in zip(parts[:2], spent[:2], strict=True)}
    return [
        {
            "model": model,
            "part": part.part,
            "mode": part.mode,
            "program": part.codec,
            "times_real_time": round(seconds / took, 1),
            "times_as_fast": round(slow[part.part] / took, 2),
        }
        for part, took in zip(parts, spent, strict=True)
    ]
