"""What stands between latents and codebooks: projections, groups, strides and the kind of distance, as plain data.

    latents --group_in--> what a group codes --pooled by stride--project_in--> nearest entry
            <--group_out-- sum of its codebooks <--repeated--project_out--

Plain residual vector quantization has none of it: entries are as wide as latents, and each codebook codes what those
before it leave over. With it the same search and look-up serve factorised codebooks (DAC: few numbers an entry,
compared by their direction), grouped ones (Mimi: each group starts anew from the latents) and those of several strides
(SNAC: a code for several frames, which stands in each of them).
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundstream.arrays import Array
from soundstream.errors import ArtifactError

QUANTIZER_FILE = "quantizer.npz"
"""Their file in an artifact's folder; a plain quantizer has none."""


@dataclass(frozen=True)
class Factors:
    """Of all codebooks; an array that is None does nothing."""

    project_in: Array | None = None
    """`[num_quantizers, width, inner]`, from what a group codes to what entries are compared with."""
    bias_in: Array | None = None
    """`[num_quantizers, width]`."""
    project_out: Array | None = None
    """`[num_quantizers, inner, width]`, from an entry to what it stands for."""
    bias_out: Array | None = None
    """`[num_quantizers, inner]`."""
    group_in: Array | None = None
    """`[groups, inner, latent_dim]`, from latents to what a group codes."""
    group_out: Array | None = None
    """`[groups, latent_dim, inner]`, back."""
    cosine: bool = False
    """Whether the nearest entry is the one of the nearest direction, and not of the least distance."""
    sizes: tuple[int, ...] = ()
    """Entries by codebook; empty is all that there is room for."""
    strides: tuple[int, ...] = ()
    """Frames that a code covers, by codebook; empty is one for all."""
    starts: tuple[int, ...] = (0,)
    """The first codebook of each group."""

    def stride(self, q: int) -> int:
        """Frames that a code of codebook q covers."""
        return self.strides[q] if self.strides else 1

    def groups(self, num_quantizers: int) -> list[range]:
        """The codebooks of each group, of as many as are in use."""
        bounds = [*(start for start in self.starts if start < num_quantizers), num_quantizers]
        return [range(start, end) for start, end in itertools.pairwise(bounds)]

    def save(self, path: Path, exact: bool = False) -> None:
        """Write the arrays as float16, or float32, and how entries are compared; strides and groups stand in the spec.

        Args:
            exact: as float32.
        """
        kind = np.float32 if exact else np.float16
        arrays = {name: value.astype(kind) for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, cosine=np.array(self.cosine), **arrays)

    @staticmethod
    def load(path: Path, of_spec: Factors) -> Factors:
        """Read what `save` wrote; sizes, strides and groups are those that the spec says.

        Raises:
            ArtifactError: it is no such file, or an array is unknown.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays: dict[str, Any] = {name: file[name] for name in file.files}
            cosine = bool(arrays.pop("cosine"))
            found = {name: value.astype(np.float32) for name, value in arrays.items()}
            return dataclasses.replace(of_spec, **found, cosine=cosine)
        except (ValueError, OSError, EOFError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} does not hold the projections of a quantizer: {error}") from error

    def check(self, path: Path, entries: Array, latent_dim: int) -> None:
        """Refuse arrays that do not fit the codebooks.

        Raises:
            ArtifactError: one has another shape.
        """
        count, _, width = entries.shape
        inner = latent_dim if self.group_in is None else self.group_in.shape[1]
        groups = len(self.starts)
        expected = {
            "project_in": (count, width, inner),
            "bias_in": (count, width),
            "project_out": (count, inner, width),
            "bias_out": (count, inner),
            "group_in": (groups, inner, latent_dim),
            "group_out": (groups, latent_dim, inner),
        }
        found = {name: getattr(self, name) for name in expected}
        wrong = [name for name, array in found.items() if array is not None and array.shape != expected[name]]
        if wrong or (self.project_in is None and width != inner):
            raise ArtifactError(f"{path} does not fit the codebooks: {', '.join(wrong) or 'projections are missing'}")
