"""Which module may know which, and what an import of the package costs."""

import ast
import functools
import importlib
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import soundstream

SOURCE = Path(soundstream.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

FLOORS = [
    {"arrays", "errors", "graph_names"},
    {"limits", "system"},
    {"spec"},
    {"analysis", "audio", "bitstream", "entropy"},
    {"nn", "runtime"},
    {"export", "live", "train"},
    {"codec"},
    {"evaluate", "serve", "tokens"},
    {"release"},
    {"cli"},
    {"__main__"},
]
"""Rooms from the lowest floor to the highest: each may import those below its own floor, and none beside it."""
FACE = {"codec", "errors", "live", "spec", "tokens"}
"""What the package itself imports."""
TORCH = {"torch", "safetensors", "onnx", "jaxtyping"}
TORCH_ROOMS = {"export", "nn", "release", "train"}
"""Rooms that need PyTorch; besides themselves, only the command line knows them."""
INSIDE_A_FUNCTION = {"cli.training.entropy", "cli.training.train", "evaluate.speed.peers", "tokens.dataset"}
"""Modules that import from the torch half only where a command asks for it."""
MAX_CHAIN = 14
"""Modules in the longest chain of imports."""
MAX_CODEC_CHAIN = 9
"""The same from `codec` on."""


def module_name(path):
    """Name below the package: `nn.layers.conv`, `codec`, empty for the package itself."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text())


@functools.cache
def imported(path):
    """Every module that a file imports, at its head or inside a function."""
    names = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


NAMES = {f"soundstream.{module_name(path)}" for path in MODULES if module_name(path)}


def known_parts(path):
    """Modules of this package that a file imports, each by its name below the package."""
    return own_modules(imported(path))


def own_modules(names):
    """Those of some names that are modules of this package, each by its name below the package."""
    return {name.removeprefix("soundstream.") for name in names if name in NAMES}


def loaded_parts(path):
    """Modules of this package that a file imports at its head, for types too, but not inside a function."""
    tree = tree_of(path)
    inside = {id(node) for function in functions_of(tree) for node in ast.walk(function)}
    heads = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and id(node) not in inside]
    names = {name for node in heads for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))}
    return {name for name in own_modules(names) if not module_name(path).startswith(f"{name}.")}


def functions_of(tree):
    """Every function of a module."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@functools.cache
def chain_from(name):
    """The longest chain of imports from a module on, itself included."""
    return (name, *max(map(chain_from, LOADED[name]), key=len, default=()))


LOADED = {module_name(path): loaded_parts(path) for path in MODULES}


def rooms_below(room):
    """Rooms that a room may import, by the floors."""
    floor = next(number for number, rooms in enumerate(FLOORS) if room in rooms)
    below = set().union(*FLOORS[:floor])
    return below if room in TORCH_ROOMS | {"cli"} else below - TORCH_ROOMS


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_import_goes_against_the_arrows(path):
    room = module_name(path).split(".")[0]
    known = {name.split(".")[0] for name in known_parts(path)} - {room}
    assert known <= (rooms_below(room) if room else FACE)


def test_no_room_is_crowded():
    """At most 16 files beside each other, and 18 % of all lines."""
    lines, files = Counter(), Counter()
    for path in MODULES:
        lines[path.parent] += len(path.read_text().splitlines())
        files[path.parent] += path.name != "__init__.py"
    assert max(files.values()) <= 16
    assert max(lines.values()) <= 0.18 * lines.total()


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_only_nn_export_and_train_know_a_family(path):
    if module_name(path).split(".")[0] not in {"export", "nn", "train"}:
        assert not {name for name in known_parts(path) if name.startswith(("nn.families", "nn.config"))}


def test_the_export_and_the_model_name_no_family():
    modules = [SOURCE / "nn" / "model.py", *(SOURCE / "export").glob("*.py")]
    families = {path.stem for path in (SOURCE / "nn" / "families").glob("[a-z]*.py")}
    assert {"seanet", "spectral"} <= families
    for path in modules:
        assert not {name for name in known_parts(path) if name.removeprefix("nn.families.") in families}


def test_no_import_makes_a_circle():
    known = {module_name(path): known_parts(path) for path in MODULES}
    inner = {name: {other for other in others if not name.startswith(f"{other}.")} for name, others in known.items()}
    TopologicalSorter(inner).prepare()  # raises if there is one


def test_no_chain_of_imports_is_long():
    longest = max(map(chain_from, LOADED), key=len)
    assert len(longest) <= MAX_CHAIN, " -> ".join(longest)
    assert len(chain_from("codec")) <= MAX_CODEC_CHAIN, " -> ".join(chain_from("codec"))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_only_the_torch_half_imports_torch(path):
    name = module_name(path)
    heads = {other.split(".")[0] for other in imported(path)}
    if name.split(".")[0] not in TORCH_ROOMS and name not in INSIDE_A_FUNCTION:
        assert not heads & TORCH


def test_importing_the_package_loads_neither_torch_nor_drawing():
    heavy = ("torch", "av", "onnx", "safetensors", "jaxtyping", "matplotlib", "typer", "rich", "soundstream.tokens")
    code = f"import sys, soundstream; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_drawing_leaves_the_backend_and_the_figures_of_its_host_alone(tmp_path):
    code = f"""
import pathlib, sys, numpy, matplotlib
matplotlib.use("svg")
from soundstream.analysis import drawing
drawing.spectrograms(pathlib.Path("{tmp_path}/a.png"), {{"clip": [("original", numpy.zeros(9000), 8000)]}})
assert matplotlib.get_backend() == "svg" and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"


def test_importing_the_torch_half_sets_no_switch_of_torch():
    code = """
import torch
def switches():
    return (torch.get_num_threads(), torch.get_num_interop_threads(), torch.is_grad_enabled(),
        torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(),
        torch.backends.mkldnn.enabled, torch.random.initial_seed())
torch.manual_seed(7)
before = switches()
import soundstream.export.artifact, soundstream.release.release, soundstream.train.entropy_fit, soundstream.train.loop
assert switches() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_command_line_loads_no_torch():
    code = "import sys, soundstream.cli; print([name for name in ('torch', 'onnx') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [name for name in map(module_name, MODULES) if name != "__main__"])
def test_every_public_name_exists(name):
    module = importlib.import_module(f"soundstream.{name}".rstrip("."))
    missing = [public for public in getattr(module, "__all__", []) if not hasattr(module, public)]
    assert missing == []


def test_every_error_is_public():
    errors = importlib.import_module("soundstream.errors")
    named = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert named <= set(soundstream.__all__)
    roots = errors.CodecError, errors.AudioWarning
    assert all(issubclass(getattr(errors, name), roots) for name in named)


def test_every_public_name_is_documented():
    assert [name for name in soundstream.__all__ if not getattr(soundstream, name).__doc__] == []
