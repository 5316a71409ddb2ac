"""The start of a run on one or several processes, whose count `torchrun` decides."""

from __future__ import annotations

import os

import torch
from torch import distributed

from soundstream.errors import ConfigError
from soundstream.system.extras import extra, needs
from soundstream.train.steps.precision import choose_device


def join(device: str = "auto") -> torch.device:
    """The device of this process; processes that `torchrun` started find each other first, through Lightning Fabric.

    Raises:
        ConfigError: the device is unknown or missing.
        CodecError: Lightning Fabric is not installed.
    """
    kind = choose_device(device)
    world, here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if world > 1 and not distributed.is_initialized():
        with needs(extra("train")):
            from lightning_fabric import Fabric
        Fabric(accelerator=kind, devices=here, num_nodes=world // here, strategy="ddp").launch()
    torch.backends.cudnn.benchmark = kind == "cuda"  # all steps are of one shape
    return torch.device(kind, int(os.environ.get("LOCAL_RANK", 0))) if kind == "cuda" else torch.device(kind)


def check_batch(examples: int, count: int, name: str = "batch_size") -> None:
    """Refuse examples that cannot be dealt out evenly.

    Raises:
        ConfigError: they are no multiple of the processes.
    """
    if examples % count:
        raise ConfigError(f"{name} is {examples}; expected a multiple of the {count} processes")
