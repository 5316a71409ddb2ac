"""Tensors of a file that others published, each used exactly once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from soundstream.errors import ArtifactError, InputError

ADVICE = "give the file that was published, whole: .safetensors, .th or .bin"
SHOWN = 6
"""Names of tensors in one message at most."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of one that `torch.save` wrote; nothing in it is executed.

    Raises:
        InputError: it cannot be opened.
        ArtifactError: it holds something else than tensors by name.
    """
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    try:
        tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # bytes of any kind make the unpickler fail in any way
        raise ArtifactError(f"{path} holds no weights, or more than weights; {ADVICE}") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ArtifactError(f"{path} holds something else than tensors by name; {ADVICE}")
    return tensors


class Weights:
    """Published tensors, taken one by one by the names that `replacements` make of theirs.

    Args:
        replacements: parts of names, and what stands in their place, in turn.
    """

    def __init__(self, tensors: dict[str, Tensor], replacements: Sequence[tuple[str, str]] = ()) -> None:
        self._tensors, self._published = {}, {}
        for name, tensor in tensors.items():
            ours = name
            for theirs, instead in replacements:
                ours = ours.replace(theirs, instead)
            self._tensors[ours], self._published[ours] = tensor, name

    def take(self, name: str, shape: Iterable[int]) -> Tensor:
        """A tensor in float32, which nobody else takes.

        Raises:
            ArtifactError: it is not there, or has another shape.
        """
        if name not in self._tensors:
            raise ArtifactError(f"the weights lack {name}; they are of another model, or not complete")
        tensor = self._tensors.pop(name)
        if tensor.shape != torch.Size(shape):
            expected = f"expected {list(shape)}: these are weights of another model"
            raise ArtifactError(f"{self._published[name]} is {list(tensor.shape)}; {expected}")
        return tensor.float()

    def take_normalized(self, name: str, shape: Sequence[int]) -> Tensor:
        """A kernel, with its weight normalization `g * v / |v|` over all dimensions but the first folded into it.

        It is computed in float64, so that it is the same on any machine, and with it the model id.

        Source: weight normalization (Salimans and Kingma, 2016).
        """
        if f"{name}_v" not in self._tensors:
            return self.take(name, shape)
        direction = self.take(f"{name}_v", shape).double()
        size = self.take(f"{name}_g", (shape[0], 1, 1)).double()
        return (direction * (size / direction.norm(dim=(1, 2), keepdim=True))).float()

    def drop(self, name: str) -> None:
        """Leave out a tensor that says nothing of the model, if it is there."""
        self._tensors.pop(name, None)

    def finish(self) -> None:
        """Refuse what nothing has taken.

        Raises:
            ArtifactError: there is such a tensor.
        """
        left = sorted(self._published[name] for name in self._tensors)
        if left:
            more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
            raise ArtifactError(
                f"{len(left)} tensors have no place in this model: {', '.join(left[:SHOWN])}{more}; "
                "these are weights of another model"
            )
