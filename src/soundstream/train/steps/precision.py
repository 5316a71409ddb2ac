"""On what and how precisely a run computes, decided once at its start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from soundstream.errors import ConfigError

CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = ("avx512_bf16", "amx_bf16")
"""CPUs that have one of these are twice as fast in bfloat16; others are several times slower."""
PRECISIONS = ("auto", "bf16", "fp32")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Precision:
    """Numbers inside the networks. Losses, codebooks, averages and optimizer states are float32 in any case."""

    device: torch.device
    bf16: bool
    reason: str
    """Why, for the log."""

    def autocast(self) -> torch.autocast:
        """A context in which the networks run; on a GPU it keeps no cast weights, which a captured step could not."""
        cached = self.device.type != "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=cached)

    def place(self, module: torch.nn.Module) -> torch.nn.Module:
        """Move a network to the device, in the memory layout that is fastest there."""
        if self.bf16:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return module.to(self.device)

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        return f"{name}, {'bf16 autocast, channels last' if self.bf16 else 'fp32'} ({self.reason})"


def choose_precision(device: torch.device, precision: str = "auto") -> Precision:
    """`auto` is bfloat16 on a GPU and on a CPU that has it, float32 elsewhere.

    Raises:
        ConfigError: the name is unknown.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; expected one of: {', '.join(PRECISIONS)}")
    if precision != "auto":
        return Precision(device, precision == "bf16", "as asked for")
    if device.type == "cuda":
        return Precision(device, True, "a GPU")
    found = sorted(set(BF16_FLAGS) & cpu_flags())
    return Precision(device, bool(found), ", ".join(found) or f"the CPU shows neither {' nor '.join(BF16_FLAGS)}")


def cpu_flags() -> set[str]:
    """What the first processor says it can do; empty where the system does not tell."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":")[1].split()) for line in lines if line.startswith("flags")), set())


def choose_device(device: str = "auto") -> str:
    """`cuda` or `cpu`; `auto` takes a GPU if there is one.

    Raises:
        ConfigError: the name is unknown, or there is no GPU.
    """
    if device not in DEVICES:
        raise ConfigError(f"device is {device!r}; expected one of: {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but PyTorch finds no GPU; choose cpu or auto")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
