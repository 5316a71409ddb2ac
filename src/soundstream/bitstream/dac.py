"""`.dac`, the files of DAC's own program: bytes to codes, by a whitelist, and nothing in them is executed.

    .npy header     version 1 or 2, one object
    pickle          a dictionary: codes uint16 [streams, codebooks, frames], and metadata

The pickle is not given to Python's own reader. It is taken apart into its operations, of which those that make plain
data are followed; what a file may name are NumPy's functions for an array and its type, and in their place stand names.
Bytes that say what is in memory are never longer than the file.

A file does not say which model made it, nor has it a checksum. Its chunks lie on frame grids of their own: where
`padded` is false, the networks saw each chunk without zeros at its ends, so that `chunk_frames` frames gave fewer
samples than their hops.

Source: descriptinc/descript-audio-codec 1.0.0, `dac/model/base.py`; NumPy's format description of `.npy`.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from soundstream.errors import BadMagic, BitstreamError, InvalidField, Truncated, UnsupportedVersion

MAGIC = b"\x93NUMPY"
VERSION = "1.0.0"
MAX_BYTES = 1 << 30
_MAX_HEADER = 10_000
_MAX_OPERATIONS = 10_000
"""A file of the original has about a hundred."""
_MAX_CODEBOOKS = 128
_MAX_CHANNELS = 64
_MAX_SAMPLES = 2**40
_MAX_DB = 100.0
_OBJECT = re.compile(rb"\{'descr': '\|O', 'fortran_order': False, 'shape': \(\), ?\} *\n")
_MODULES = {"numpy.core.multiarray", "numpy._core.multiarray"}
_RECONSTRUCT, _NDARRAY, _DTYPE = object(), object(), object()
_NAMES = {("numpy", "ndarray"): _NDARRAY, ("numpy", "dtype"): _DTYPE} | {
    (module, "_reconstruct"): _RECONSTRUCT for module in _MODULES
}
_MARK = object()


@dataclass(frozen=True)
class Dac:
    """What a file holds."""

    codes: NDArray[np.int64]
    """`[channels, codebooks, frames]`."""
    chunk_frames: int
    """Frames that are decoded by themselves."""
    padded: bool
    """Whether networks put zeros at the ends of a chunk; then there is but one."""
    sample_rate: int
    """Hz of the original."""
    num_samples: int
    """Of the original, a channel."""
    input_db: float
    """Loudness of the original, LUFS, which decoded sound gets."""


@dataclass
class _Dtype:
    """A type of numbers, by its name such as u2, and the order of its bytes."""

    name: str
    order: str = "<"


@dataclass
class _Array:
    """An array whose shape, type and content come behind it."""

    shape: tuple[int, ...] = ()
    dtype: _Dtype | None = None
    order: str = "C"
    content: Any = None


def parse(data: bytes) -> Dac:
    """Read a file.

    Raises:
        BadMagic: it is not a .dac file.
        Truncated: it ends too early.
        UnsupportedVersion: it is of another version.
        InvalidField: it holds something else than codes and their facts, or is damaged.
    """
    if not data.startswith(MAGIC) or len(data) < len(MAGIC) + 2:
        raise BadMagic("not a .dac file")
    if len(data) > MAX_BYTES:
        raise InvalidField(f"the file has {len(data):,} bytes; .dac files of up to {MAX_BYTES:,} are read")
    found = _unpickled(data[_header_bytes(data) :])
    if not (isinstance(found, _Array) and found.shape == () and isinstance(found.content, list)):
        raise InvalidField("the .dac file holds something else than one object")
    (facts,) = found.content if len(found.content) == 1 else (None,)
    if not isinstance(facts, dict):
        raise InvalidField("the .dac file holds something else than a dictionary")
    return _checked(facts)


def _header_bytes(data: bytes) -> int:
    """Bytes before the pickle."""
    sizes = {1: 2, 2: 4}
    version = data[len(MAGIC)]
    if version not in sizes or data[len(MAGIC) + 1]:
        raise UnsupportedVersion(f"version {version} of .npy; .dac files have 1 or 2")
    start = len(MAGIC) + 2 + sizes[version]
    length = int.from_bytes(data[len(MAGIC) + 2 : start], "little")
    if length > _MAX_HEADER:
        raise InvalidField(f"the header of the .dac file has {length:,} bytes; expected at most {_MAX_HEADER:,}")
    if len(data) < start + length:
        raise Truncated("the .dac file ends in its header")
    if not _OBJECT.fullmatch(data[start : start + length]):
        raise InvalidField("the header of the .dac file does not say that one object follows")
    return start + length


def _unpickled(data: bytes) -> Any:
    """What a pickle makes, of plain data and arrays alone."""
    machine, stream = _Machine(), io.BytesIO(data)
    try:
        for name, argument in _operations(stream):
            machine.follow(name, argument)
    except BitstreamError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        if not stream.read(1):
            raise Truncated("the .dac file ends too early") from error
        raise InvalidField(f"the .dac file is damaged: {error}") from error
    if stream.read(1):
        raise InvalidField("the .dac file goes on behind its end")
    return machine.result()


def _operations(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """The operations of a pickle and what they are given, up to its end.

    Raises:
        InvalidField: one is not among those that plain data need, or there are too many.
    """
    for _ in range(_MAX_OPERATIONS):
        if not (code := stream.read(1)):
            raise ValueError("its pickle has no end")
        operation = _OPERATIONS.get(code.decode("latin-1"))
        if operation is None or operation.name not in _KNOWN:
            said = operation.name if operation else f"operation {code[0]}"
            raise InvalidField(f"the .dac file asks for {said}, which no file of codes needs; nothing was executed")
        yield operation.name, _argument(operation, stream)
        if operation.name == "STOP":
            return
    raise InvalidField(f"the .dac file has more than {_MAX_OPERATIONS:,} operations")


def _argument(operation: pickletools.OpcodeInfo, stream: BinaryIO) -> Any:
    if operation.name != "GLOBAL":
        return operation.arg.reader(stream) if operation.arg else None
    lines = [stream.readline(), stream.readline()]  # whose escapes stay as they are
    if not all(line.endswith(b"\n") for line in lines):
        raise ValueError("a name has no end")
    return [line[:-1].decode() for line in lines]


class _Machine:
    """The stack and the memory of a pickle."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:
        """Do one operation."""
        if name in _PUSHED:
            self._stack.append(_PUSHED[name](argument))
        elif name in _STORED:
            self._memo[len(self._memo) if argument is None else argument] = self._stack[-1]
        elif name in _RECALLED:
            self._stack.append(self._memo[argument])
        elif name in _CHANGES:
            _CHANGES[name](self._stack)

    def result(self) -> Any:
        """The one thing that is left."""
        if len(self._stack) != 1:
            raise InvalidField("the .dac file is damaged: its pickle does not end with one object")
        return self._stack[0]


def _named(module: str, name: str) -> object:
    if (module, name) not in _NAMES:
        said = f"{module}.{name}"[:80]
        raise InvalidField(f"the .dac file names {said!r}, which no file of codes needs; nothing was executed")
    return _NAMES[module, name]


def _marked(stack: list[Any]) -> list[Any]:
    """What stands above the last mark, which goes with it."""
    place = len(stack) - 1 - stack[::-1].index(_MARK)
    found = stack[place + 1 :]
    del stack[place:]
    return found


def _tuple_of(count: int) -> Callable[[list[Any]], None]:
    def join(stack: list[Any]) -> None:
        stack[-count:] = [tuple(_last(stack, count))]

    return join


def _last(stack: list[Any], count: int) -> list[Any]:
    if len(stack) < count:
        raise ValueError("its stack is empty")
    return stack[-count:]


def _append(stack: list[Any], items: list[Any]) -> None:
    if not isinstance(stack[-1], list):
        raise TypeError("no list to append to")
    stack[-1].extend(items)


def _set(stack: list[Any], items: list[Any]) -> None:
    if not isinstance(stack[-1], dict) or not all(isinstance(key, str) for key in items[::2]):
        raise TypeError("no dictionary of words to set")
    stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _global(stack: list[Any]) -> None:
    module, name = _last(stack, 2)
    if not (isinstance(module, str) and isinstance(name, str)):
        raise TypeError("it names something without words")
    stack[-2:] = [_named(module, name)]


def _reduce(stack: list[Any]) -> None:
    """An array or a type, as NumPy's functions would make them."""
    function, arguments = _last(stack, 2)
    if function is _RECONSTRUCT and arguments[0] is _NDARRAY:
        made: Any = _Array()
    elif function is _DTYPE and isinstance(arguments[0], str):
        made = _Dtype(arguments[0].lstrip("<>|="))
    else:
        raise TypeError("it calls something else than what makes arrays")
    stack[-2:] = [made]


def _build(stack: list[Any]) -> None:
    """Give an array, or a type, what is said of it."""
    made, state = _last(stack, 2)
    if isinstance(made, _Array):
        _, shape, dtype, fortran, content = state
        if not (isinstance(shape, tuple) and isinstance(dtype, _Dtype) and isinstance(fortran, bool)):
            raise TypeError("an array without shape or type")
        made.shape, made.dtype, made.order, made.content = shape, dtype, "F" if fortran else "C", content
    elif isinstance(made, _Dtype) and isinstance(state[1], str):
        made.order = state[1]
    else:
        raise TypeError("it sets the state of something else than an array")
    del stack[-1]


_PUSHED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), lambda argument: argument),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"), lambda argument: argument),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), lambda argument: argument),
    "NONE": lambda argument: None,
    "NEWTRUE": lambda argument: True,
    "NEWFALSE": lambda argument: False,
    "EMPTY_TUPLE": lambda argument: (),
    "EMPTY_LIST": lambda argument: [],
    "EMPTY_DICT": lambda argument: {},
    "MARK": lambda argument: _MARK,
    "GLOBAL": lambda argument: _named(*argument),
}
_STORED = {"MEMOIZE", "BINPUT", "LONG_BINPUT"}
_RECALLED = {"BINGET", "LONG_BINGET"}
_IGNORED = {"PROTO", "FRAME", "STOP"}
_CHANGES: dict[str, Callable[[list[Any]], None]] = {
    "TUPLE": lambda stack: stack.append(tuple(_marked(stack))),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "APPEND": lambda stack: _append(stack, [stack.pop()]),
    "APPENDS": lambda stack: _append(stack, _marked(stack)[:]),
    "SETITEM": lambda stack: _set(stack, [*reversed((stack.pop(), stack.pop()))]),
    "SETITEMS": lambda stack: _set(stack, _marked(stack)),
    "STACK_GLOBAL": _global,
    "REDUCE": _reduce,
    "BUILD": _build,
}

_KNOWN = {*_PUSHED, *_STORED, *_RECALLED, *_IGNORED, *_CHANGES}
_OPERATIONS = {one.code: one for one in pickletools.opcodes}


def _checked(facts: dict[Any, Any]) -> Dac:
    """The codes and their facts, each of its kind and within its range."""
    metadata = facts.get("metadata")
    if not isinstance(metadata, dict):
        raise InvalidField("the .dac file lacks its metadata")
    version = metadata.get("dac_version")
    if version != VERSION:
        said = version[:20] if isinstance(version, str) else "without a name"
        raise UnsupportedVersion(f"version {said} of .dac; this release reads {VERSION}")
    codes = _numbers(facts.get("codes"), "u2", 3, "codes").astype(np.int64)
    channels, count, frames = codes.shape
    levels = _numbers(metadata.get("input_db"), "f4", 1, "input_db").tolist()
    if metadata.get("channels") != channels or channels > _MAX_CHANNELS:
        raise InvalidField(f"the .dac file has {channels} rows of codes and says another number of channels")
    if count > _MAX_CODEBOOKS or len(levels) != 1 or not abs(levels[0]) <= _MAX_DB:
        raise InvalidField(f"the .dac file has {count} codebooks and loudnesses {levels[:3]} in LUFS")
    padded, chunk = metadata.get("padding"), _whole(metadata, "chunk_length", 1, max(1, frames))
    if not isinstance(padded, bool) or frames % chunk or (padded and frames != chunk):
        raise InvalidField(f"the .dac file has {frames} frames in chunks of {chunk}, which its padding denies")
    rate, samples = _whole(metadata, "sample_rate", 1, 2**31), _whole(metadata, "original_length", 0, _MAX_SAMPLES)
    return Dac(codes, chunk, padded, rate, samples, levels[0])


def _whole(metadata: dict[Any, Any], name: str, least: int, most: int) -> int:
    value = metadata.get(name)
    if type(value) is not int or not least <= value <= most:
        said = value if type(value) is int else "no whole number"
        raise InvalidField(f"the .dac file says {said} for {name}; expected {least} to {most}")
    return value


def _numbers(found: Any, kind: str, dimensions: int, name: str) -> NDArray[Any]:
    """An array of this type and number of dimensions."""
    if not (isinstance(found, _Array) and found.dtype and isinstance(found.content, bytes)):
        raise InvalidField(f"the .dac file lacks its {name}")
    shape, dtype = found.shape, found.dtype
    if dtype.name != kind or dtype.order not in ("<", ">") or len(shape) != dimensions:
        raise InvalidField(
            f"{name} of the .dac file are {dtype.name[:20]} in {len(shape)} dimensions; expected {kind} in {dimensions}"
        )
    if not all(type(size) is int and size > 0 for size in shape):
        raise InvalidField(f"{name} of the .dac file are empty")
    if math.prod(shape) * int(kind[1]) != len(found.content):
        raise InvalidField(f"{name} of the .dac file have {len(found.content):,} bytes; their shape says others")
    return np.frombuffer(found.content, dtype.order + kind).reshape(shape, order="F" if found.order == "F" else "C")
