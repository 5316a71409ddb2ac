"""Checkpoints: a folder of safetensors and one JSON, written beside and renamed."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from soundstream.errors import ConfigError
from soundstream.nn.model import SoundStream
from soundstream.train.config import TrainConfig

SUMS = "quantizer.sums"
FILES = ("run.json", "model.safetensors", "optimizer.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A training run at one step. Random draws derive from seed and step, so that no random state needs keeping."""

    config: TrainConfig
    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    """AdamW's moments as `exp_avg.NAME`, `exp_avg_sq.NAME` and `step.NAME`; empty in a checkpoint for export only."""


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; an older one in the same place is replaced only when the new one is complete."""
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(_contiguous(checkpoint.model), fresh / "model.safetensors")
    save_file(_contiguous(checkpoint.optimizer), fresh / "optimizer.safetensors")
    (fresh / "run.json").write_text(
        json.dumps({"step": checkpoint.step, "config": checkpoint.config.to_dict()}, indent=2)
    )
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def find(folder: Path) -> Path | None:
    """Where the checkpoint of this name is: beside it, if a save was cut off between its two renames; else None."""
    places = (folder, folder.with_name(folder.name + ".old"))
    return next((place for place in places if place.exists()), None)


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ConfigError: the folder holds no checkpoint, or a file of it is damaged.
    """
    folder = find(folder) or folder
    for name in FILES:
        if not (folder / name).is_file():
            raise ConfigError(f"{folder} is not a checkpoint: it has no {name}")
    try:
        run = json.loads((folder / FILES[0]).read_text())
        config, step = TrainConfig.from_dict(run["config"]), int(run["step"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / FILES[0]} is damaged: {error}") from error
    model, optimizer = (_load_tensors(folder / name) for name in FILES[1:])
    return Checkpoint(config, step, _full(model), optimizer)


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ConfigError(f"{path} is damaged: {error}") from error


def compact(checkpoint: Checkpoint) -> Checkpoint:
    """A state small enough to pass on: float16, without the optimizer and what follows from the rest."""
    model = {name: _half(tensor) for name, tensor in checkpoint.model.items() if name != SUMS}
    return replace(checkpoint, model=model, optimizer={})


def _full(model: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `compact`, up to float16 steps; a full model stays as it is."""
    model = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in model.items()}
    model.setdefault(SUMS, model["quantizer.codebooks"] * model["quantizer.usage"][..., None])
    return model


def _half(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def load_model(folder: Path) -> SoundStream:
    """The model of a checkpoint, ready for inference."""
    checkpoint = load(folder)
    model = SoundStream(checkpoint.config.codec)
    model.load_state_dict(checkpoint.model)
    return model.eval()


def optimizer_state(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state under the names of the parameters."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {f"{key}.{names[id(p)]}": v for p, state in optimizer.state.items() for key, v in state.items()}


def restore_optimizer(model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Inverse of `optimizer_state`."""
    for name, p in model.named_parameters():
        found = {key: state[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}.{name}" in state}
        if found:
            optimizer.state[p] = found


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}
