"""What using the package costs besides CPU time: memory, the time of an import, the size of an install."""

from __future__ import annotations

import compileall
import subprocess
import sys
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import soundstream
from soundstream.system.extras import DISTRIBUTION

_IMPORT = "import time; start = time.perf_counter(); import soundstream; print(time.perf_counter() - start)"
_MEMORY = """
import pathlib, sys, numpy, soundstream
codec = soundstream.load(sys.argv[1])
codec.decode(codec.encode(numpy.zeros(10 * codec.spec.sample_rate), codec.spec.sample_rate, int(sys.argv[2])))
print(pathlib.Path("/proc/self/status").read_text())
"""


def import_s(repeats: int = 5) -> float:
    """Median wall time of `import soundstream` in a fresh process, in seconds."""
    return round(float(np.median([float(_output(_IMPORT)) for _ in range(repeats)])), 3)


def peak_memory_mb(model: str | Path, bitrate: int) -> int | None:
    """Most resident memory of a process that loads the model and codes 10 s both ways; None except on Linux."""
    if sys.platform != "linux":
        return None
    status = _output(_MEMORY, str(model), str(bitrate)).splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024


def install_mb() -> dict[str, float]:
    """Size in 1e6 bytes of each distribution that the package needs without extras, itself included.

    All files below site-packages count, byte code too; together they are what a new environment gets, besides pip.
    """
    sizes: dict[str, float] = {}
    waiting = [DISTRIBUTION]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in sizes:
            sizes[name] = round(_installed_bytes(name) / 1e6, 1)
            needed = map(Requirement, metadata.requires(name) or [])
            waiting += [r.name for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return sizes


def _installed_bytes(name: str) -> int:
    if name == DISTRIBUTION:
        compileall.compile_dir(Path(soundstream.__file__).parent, quiet=2)
        paths = {path for path in Path(soundstream.__file__).parent.rglob("*") if "__pycache__" not in path.parts}
    else:
        paths = {Path(str(file.locate())) for file in metadata.files(name) or []}
    paths |= {Path(cache_from_source(path)) for path in paths if path.suffix == ".py"}
    return sum(path.stat().st_size for path in paths if path.is_file())


def _output(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
