"""Checkpoints: a folder of safetensors and one JSON, written beside and renamed.

    run.json                        step and counters, codec, the run's settings, names of the files by part
    PART-1-of-2.safetensors ...     pieces of at most 14 MiB of each part of the state

A tensor that is larger than a piece is split along its first dimension into `NAME#0`, `NAME#1` and so on.

| state | holds | use |
| --- | --- | --- |
| whole | everything, as it is | goes on exactly, to the last bit on the same machine |
| `portable` | weights as float16, AdamW's moments as bfloat16 | goes on elsewhere, at half the size |
| `compact` | averaged generator and discriminators as float16, no moments | ships; goes on after a new warm-up |
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from soundstream.errors import ConfigError
from soundstream.nn.config import FamilyConfig
from soundstream.nn.families import build, config_of
from soundstream.nn.model import SoundStream

PIECE_BYTES = 14 * 2**20
SUMS = "quantizer.sums"
FILES_BEFORE_PIECES = {"model": ["model.safetensors"], "optimizer": ["optimizer.safetensors"]}
"""Files of checkpoints whose run.json does not name them, as the first releases wrote it."""

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Progress:
    """How far a run is. Random draws derive from seed and step, so that no random state needs keeping."""

    step: int = 0
    skipped: int = 0
    """Batches that were left out after losses that were not finite: step s trains on batch s + skipped."""
    fresh_from: int = 0
    """Step at which the generator's optimizer was fresh: its rate warms up from there."""
    discriminator_fresh_from: int | None = None
    """The same for the discriminators; None before they take part."""
    discriminator_rate_factor: float = 1.0
    """What is left of the discriminators' rate: it is halved each time that they win."""
    quantized: bool | None = None
    """Whether the codebooks have been started; None in states of earlier releases, which do not say."""
    reached: float = 0.0
    """Largest share of a time limit that runs of this state have seen; 0 if none had a time limit."""
    elapsed_s: float = 0.0
    """Time of its limit that the last run had used up when it was stopped; 0 if it came to its end, or had no limit."""


@dataclass(frozen=True)
class Checkpoint:
    """A training run at one step."""

    codec: FamilyConfig
    progress: Progress
    model: Tensors
    average: Tensors = field(default_factory=dict)
    """The averaged generator; empty if the run keeps none."""
    optimizer: Tensors = field(default_factory=dict)
    """The generator's AdamW as `exp_avg.NAME`, `exp_avg_sq.NAME`, `step.NAME`; empty in a state without moments."""
    discriminator: Tensors = field(default_factory=dict)
    discriminator_optimizer: Tensors = field(default_factory=dict)
    balancer: Tensors = field(default_factory=dict)
    """Its averages by name of the loss."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The run's settings as plain data, for the record: what was read may come from another release."""

    @property
    def step(self) -> int:
        """Steps done."""
        return self.progress.step

    def map(self, change: Callable[[Tensor], Tensor], parts: tuple[str, ...]) -> Checkpoint:
        """The same with `change` applied to every tensor of these parts."""
        mapped: dict[str, Any] = {part: {k: change(v) for k, v in getattr(self, part).items()} for part in parts}
        return dataclasses.replace(self, **mapped)

    def clone(self) -> Checkpoint:
        """A copy that stays as it is when the run goes on."""
        return self.map(torch.clone, PARTS)


PARTS = ("model", "average", "optimizer", "discriminator", "discriminator_optimizer", "balancer")
WEIGHTS = ("model", "average", "discriminator")
MOMENTS = ("optimizer", "discriminator_optimizer")


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; an older one in the same place is replaced only when the new one is complete."""
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    files = {part: _write(fresh, part, getattr(checkpoint, part)) for part in PARTS}
    run = {
        "progress": dataclasses.asdict(checkpoint.progress),
        "codec": checkpoint.codec.to_dict(),
        "settings": checkpoint.settings,
        "files": files,
    }
    (fresh / "run.json").write_text(json.dumps(run, indent=2))
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write(folder: Path, part: str, tensors: Tensors) -> list[str]:
    pieces = _pieces(tensors)
    names = [f"{part}-{i}-of-{len(pieces)}.safetensors" for i in range(1, len(pieces) + 1)]
    for name, piece in zip(names, pieces, strict=True):
        save_file(piece, folder / name)
    return names


def _pieces(tensors: Tensors) -> list[Tensors]:
    """Tensors in order, packed into pieces of at most `PIECE_BYTES`."""
    pieces: list[Tensors] = []
    room = 0
    for name, tensor in _rows(tensors).items():
        if tensor.nbytes > room:
            pieces.append({})
            room = PIECE_BYTES
        pieces[-1][name] = tensor
        room -= tensor.nbytes
    return pieces


def _rows(tensors: Tensors) -> Tensors:
    """Tensors as they fit into a piece, large ones split along their first dimension."""
    rows: Tensors = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if tensor.nbytes <= PIECE_BYTES:
            rows[name] = tensor
        else:
            parts = torch.split(tensor, max(1, PIECE_BYTES * len(tensor) // tensor.nbytes))
            rows |= {f"{name}#{i}": part.clone() for i, part in enumerate(parts)}
    return rows


def find(folder: Path) -> Path | None:
    """Where the checkpoint of this name is: beside it, if a save was cut off between its two renames; else None."""
    places = (folder, folder.with_name(folder.name + ".old"))
    return next((place for place in places if place.exists()), None)


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint, also one of an earlier release: what its settings were matters only for the record.

    Raises:
        ConfigError: the folder holds no checkpoint, or a file of it is damaged.
    """
    folder = find(folder) or folder
    _check_there(folder, "run.json")
    try:
        run = json.loads((folder / "run.json").read_text())
        settings = run["settings"] if "settings" in run else run["config"]
        codec = config_of(run.get("codec", settings.get("codec", {})))
        progress = Progress(**run["progress"]) if "progress" in run else Progress(step=int(run["step"]))
        files = dict(run.get("files", FILES_BEFORE_PIECES))
        parts = {part: _read(folder, files.get(part, [])) for part in PARTS}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{folder / 'run.json'} is damaged: {error!r}") from error
    parts = {part: {name: _whole(value) for name, value in tensors.items()} for part, tensors in parts.items()}
    found = Checkpoint(codec, progress, settings=settings, **(parts | {"model": _with_sums(parts["model"])}))
    return _without_early_denoiser(found)


def _without_early_denoiser(checkpoint: Checkpoint) -> Checkpoint:
    """The same with a fresh denoiser in the place of one of release 0.1.0, which masked features, not coefficients."""
    fresh = build(checkpoint.codec).state_dict() if "denoiser.out.bias" in checkpoint.model else {}
    if not fresh or fresh["denoiser.out.bias"].shape == checkpoint.model["denoiser.out.bias"].shape:
        return checkpoint
    parts: dict[str, Any] = {part: _without_denoiser(getattr(checkpoint, part)) for part in PARTS}
    parts["model"] |= {name: value for name, value in fresh.items() if name.startswith("denoiser.")}
    data = checkpoint.settings.get("data", {}) | {"denoise_probability": 0.0}
    return dataclasses.replace(checkpoint, settings=checkpoint.settings | {"data": data}, **parts)


def _without_denoiser(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if "denoiser" not in name.split(".")}


def _check_there(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        raise ConfigError(f"{folder} is not a checkpoint: it has no {name}")


def _read(folder: Path, names: list[str]) -> Tensors:
    rows: dict[str, list[Tensor]] = defaultdict(list)
    for name in names:
        _check_there(folder, name)
        try:
            loaded = load_file(folder / name)
        except SafetensorError as error:
            raise ConfigError(f"{folder / name} is damaged: {error}") from error
        for key in sorted(loaded, key=_place):
            rows[key.partition("#")[0]].append(loaded[key])
    return {name: parts[0] if len(parts) == 1 else torch.cat(parts) for name, parts in rows.items()}


def _place(key: str) -> tuple[str, int]:
    name, _, row = key.partition("#")
    return name, int(row or 0)


def _whole(tensor: Tensor) -> Tensor:
    """Float32, whatever a smaller state stored."""
    return tensor.float() if tensor.is_floating_point() else tensor


def _with_sums(model: Tensors) -> Tensors:
    if "quantizer.codebooks" not in model or "quantizer.usage" not in model:
        raise ConfigError("the checkpoint's model has no codebooks")
    return {SUMS: model["quantizer.codebooks"] * model["quantizer.usage"][..., None]} | model


def portable(checkpoint: Checkpoint) -> Checkpoint:
    """A state of half the size that goes on with its moments: float16 weights, bfloat16 moments, no sums."""
    small = checkpoint.map(_half, WEIGHTS).map(_brain, MOMENTS)
    return dataclasses.replace(small, model=_without_sums(small.model))


def compact(checkpoint: Checkpoint) -> Checkpoint:
    """A state small enough to pass on: the averaged generator and the discriminators as float16, without moments."""
    model = _without_sums(checkpoint.model | checkpoint.average)
    small = dataclasses.replace(checkpoint, model=model, average={}, optimizer={}, discriminator_optimizer={})
    return small.map(_half, WEIGHTS)


def _without_sums(model: Tensors) -> Tensors:
    return {name: tensor for name, tensor in model.items() if name != SUMS}


def _half(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def _brain(tensor: Tensor) -> Tensor:
    """bfloat16, whose range holds squares of small gradients; a count of steps stays as it is."""
    return tensor.bfloat16() if tensor.ndim else tensor


def load_model(folder: Path) -> SoundStream:
    """The model of a checkpoint, averaged if the run keeps an average, ready for inference.

    Its config says whether the run trained the denoise switch.
    """
    checkpoint = load(folder)
    trained = checkpoint.settings.get("data", {}).get("denoise_probability", 0) > 0
    model = build(dataclasses.replace(checkpoint.codec, denoise=trained))
    model.load_state_dict(checkpoint.model | checkpoint.average)
    return model.eval()
