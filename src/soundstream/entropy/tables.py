"""The numbers of the entropy model: what a fit writes beside a model's weights and what encoder and decoder read."""

from __future__ import annotations

import dataclasses
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.bounds import LIMIT, MAX_INPUTS, PARTS, TOTAL
from soundstream.entropy.grid import Grid, Stack
from soundstream.errors import ArtifactError

TABLES_FILE = "entropy.npz"
"""Their file in an artifact's folder."""


@dataclass(frozen=True)
class Tables:
    """Whole numbers only; `q` codebooks, `size` entries each, `hidden` units, `inputs` numbers seen (see `context`).

    Raises:
        ArtifactError: a shape, a type or a value cannot be.
    """

    static: NDArray[np.int32]
    """Frequencies without any context `[q, size]`, at least 1; each row adds up to TOTAL. Of a codebook with fewer
    entries than the largest one those that are missing have 0; what other tables hold there means nothing."""
    exponentials: NDArray[np.int32]
    """2^16 exp(-d / 32) for logits that lie d below the largest; see `frequencies`."""
    vector_shifts: NDArray[np.int32]
    """By codebook, bits by which its entries are scaled down to be an input `[q]`; below zero is up."""
    hidden_weights: NDArray[np.int8]
    """`[q, hidden, inputs]`."""
    hidden_biases: NDArray[np.int32]
    """`[q, hidden]`."""
    hidden_shifts: NDArray[np.int32]
    """By codebook, bits by which hidden sums are scaled down `[q]`."""
    output_weights: NDArray[np.int8]
    """`[q, size, hidden]`."""
    output_biases: NDArray[np.int32]
    """`[q, size]`."""
    output_shifts: NDArray[np.int32]
    """By codebook, bits by which logits are scaled down `[q]`."""
    vectors: NDArray[np.int16] | None = None
    """What stands for an entry, in parts of 1 / 2^11 `[q, size, inputs / 6]`; None are the codebooks' own entries."""

    def __post_init__(self) -> None:
        shapes = {name: array.shape for name, array in self._arrays().items()}
        q, hidden, inputs = shapes["hidden_weights"] if len(shapes["hidden_weights"]) == 3 else (0, 0, 0)
        size = self.static.shape[-1] if self.static.ndim else 0
        expected = {
            "static": (q, size),
            "exponentials": (max(1, self.exponentials.size),),
            "vector_shifts": (q,),
            "hidden_weights": (q, hidden, inputs),
            "hidden_biases": (q, hidden),
            "hidden_shifts": (q,),
            "output_weights": (q, size, hidden),
            "output_biases": (q, size),
            "output_shifts": (q,),
            "vectors": (q, size, inputs // PARTS),
        }
        wrong = [name for name, shape in shapes.items() if shape != expected[name] or 0 in shape]
        self._refuse(wrong, "shape")
        types = {name: np.dtype(np.int8 if name.endswith("weights") else np.int32) for name in shapes}
        types["vectors"] = np.dtype(np.int16)
        self._refuse([name for name, array in self._arrays().items() if array.dtype != types[name]], "type")
        self._refuse([name for name, fits in self._ranges().items() if not fits], "range")

    def _ranges(self) -> dict[str, bool]:
        shifts = {name: _between(getattr(self, name), -8, 30) for name in ("vector_shifts",)}
        shifts |= {name: _between(getattr(self, name), 0, 30) for name in ("hidden_shifts", "output_shifts")}
        weights = {name: _between(getattr(self, name), -LIMIT, LIMIT) for name in ("hidden_weights", "output_weights")}
        biases = {name: _between(getattr(self, name), -(2**29), 2**29) for name in ("hidden_biases", "output_biases")}
        falling = bool((np.diff(self.exponentials) <= 0).all()) and _between(self.exponentials, 0, 1 << 16)
        return {
            "static": _between(self.static, 0, TOTAL)
            and bool((self.static.sum(axis=1, dtype=np.int64) == TOTAL).all())
            and bool(((self.static > 0) == (np.arange(self.static.shape[1]) < self.sizes[:, None])).all()),
            "exponentials": falling and self.exponentials[0] == 1 << 16,
            "hidden_weights' inputs": self.hidden_weights.shape[2] <= MAX_INPUTS >= self.hidden_weights.shape[1],
            **shifts,
            **weights,
            **biases,
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        """The tables that there are, by name."""
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: array for name, array in arrays.items() if array is not None}

    def _refuse(self, names: list[str], what: str) -> None:
        if names:
            raise ArtifactError(f"the entropy tables are damaged: {what} of {', '.join(names)}; fit them anew")

    @property
    def num_quantizers(self) -> int:
        return self.static.shape[0]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Entries of each codebook `[q]`."""
        return np.count_nonzero(self.static, axis=1)

    def grid(self, stack: Stack) -> Grid:
        """Where codes stand, of a model with this stack.

        Raises:
            ArtifactError: the tables are of codebooks of other sizes.
        """
        grid = Grid(self.static.shape[1].bit_length() - 1, stack)
        expected = grid.sizes(self.num_quantizers) if stack else np.full(self.num_quantizers, self.static.shape[1])
        if self.sizes.tolist() != expected.tolist():
            raise ArtifactError(
                f"the entropy tables are of codebooks with {self.sizes.tolist()} entries; "
                f"this model has {expected.tolist()}: fit them anew"
            )
        return grid

    def save(self, path: Path) -> None:
        """Write all tables to one compressed file."""
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **self._arrays())

    @classmethod
    def load(cls, path: Path) -> Tables:
        """Read what `save` wrote.

        Raises:
            ArtifactError: it is no such file, or a table is missing or damaged.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays: dict[str, Any] = {name: file[name] for name in file.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"{path} does not hold entropy tables: {error}") from error
        if set(arrays) | {"vectors"} != names:
            raise ArtifactError(f"{path} does not hold the entropy tables of this release; fit them anew")
        return cls(**arrays)


def _between(array: np.ndarray, low: int, high: int) -> bool:
    return bool(low <= array.min() and array.max() <= high)
